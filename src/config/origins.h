/* Where each value of a configuration comes from: file and line of the assignment that won. */
#pragma once

#include "config/keys.h"
#include "config/reader.h"
#include "model/config.h"

#define CONFIG_FILES_MAX 64

struct config_origin {
    unsigned file; /* 1 … file_count; 0: no file, it is the default */
    unsigned line;
};

struct config_origins {
    char files[CONFIG_FILES_MAX][READER_NAME_MAX]; /* as messages name them; file n is files[n - 1] */
    unsigned file_count;
    /* By key_index(). */
    struct config_origin key[KEYS_MAX]; /* of [Node] and [Monitor] */
    struct config_origin level_key[LEVEL_COUNT][KEYS_MAX];
    struct config_origin class_key[CONFIG_CLASSES_MAX][KEYS_MAX];
    struct config_origin match[CONFIG_CLASSES_MAX][CONFIG_PATTERNS_MAX];
    struct config_origin section[CONFIG_CLASSES_MAX]; /* the last header of the class */
};
