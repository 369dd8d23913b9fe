/* Any bytes as a configuration file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config untouched, loaded;
static struct config_messages messages;

static void check_messages(void)
{
    unsigned errors = 0;

    if (messages.count > CONFIG_MESSAGES_MAX)
        abort();
    for (unsigned i = 0; i < messages.count; i++) {
        if (!memchr(messages.text[i], '\0', CONFIG_MESSAGE_MAX) || strncmp(messages.text[i], "fuzz:", 5) != 0)
            abort();
        errors += !messages.warning[i];
    }
    if (errors > messages.errors)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FILE *stream;
    int r;

    if (size == 0)
        return 0; /* fmemopen() has nothing to open then */
    stream = fmemopen((void *)(uintptr_t)data, size, "r");
    if (!stream)
        abort();
    memset(&untouched, 0xa5, sizeof(untouched));
    memset(&loaded, 0xa5, sizeof(loaded));
    r = config_load_stream(stream, "fuzz", &loaded, &messages);
    (void)fclose(stream);

    check_messages();
    if ((r < 0) != (messages.errors > 0))
        abort();
    if (r < 0 && memcmp(&untouched, &loaded, sizeof(loaded)) != 0)
        abort();
    if (r == 0 && (loaded.class_count < 1 || loaded.class_count > CONFIG_CLASSES_MAX ||
                   strcmp(loaded.classes[loaded.class_count - 1].name, CONFIG_CLASS_OTHER) != 0))
        abort();
    return 0;
}
