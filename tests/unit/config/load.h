/* What the tests of this folder share: a configuration given as text, loaded, with the promises that hold for
 * each. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"

#define TEST_FILE "test.conf"

struct load {
    struct config config;
    struct config_messages messages;
    int r;
};

/* One for all: a configuration is too large for the stack. */
static struct load loaded;

static inline bool is_untouched(const struct config *c)
{
    static struct config sentinel;
    static bool filled;

    if (!filled)
        memset(&sentinel, 0xa5, sizeof(sentinel));
    filled = true;
    return memcmp(c, &sentinel, sizeof(sentinel)) == 0;
}

/* Errors and the result agree, every message names the file, and a failure leaves the caller's configuration
 * alone. */
static inline void assert_promises(const struct load *l)
{
    unsigned errors = 0;

    assert_true(l->messages.count <= CONFIG_MESSAGES_MAX);
    for (unsigned i = 0; i < l->messages.count; i++) {
        const char *text = l->messages.text[i];

        assert_non_null(memchr(text, '\0', CONFIG_MESSAGE_MAX));
        assert_true(strncmp(text, TEST_FILE ":", strlen(TEST_FILE) + 1) == 0);
        assert_true(text[strlen(text) - 1] == '.' || text[strlen(text) - 1] == '?');
        errors += !l->messages.warning[i];
    }
    assert_true(errors <= l->messages.errors);
    assert_true((errors > 0) == (l->messages.errors > 0));
    assert_true((l->r < 0) == (errors > 0));
    if (l->r < 0)
        assert_true(is_untouched(&l->config));
}

static inline struct load *load_bytes(const char *bytes, size_t length)
{
    FILE *stream = fmemopen((void *)(uintptr_t)bytes, length > 0 ? length : 1, "r");

    assert_non_null(stream);
    if (length == 0)
        assert_int_not_equal(fgetc(stream), EOF); /* an empty stream is one that was read to its end */
    memset(&loaded.config, 0xa5, sizeof(loaded.config));
    loaded.r = config_load_stream(stream, TEST_FILE, &loaded.config, &loaded.messages);
    (void)fclose(stream);
    assert_promises(&loaded);
    return &loaded;
}

static inline struct load *load_text(const char *text)
{
    return load_bytes(text, strlen(text));
}

/* Whether some message is about `line`, of that kind, and contains both texts. */
static inline bool has_message(const struct load *l, bool warning, unsigned line, const char *one,
                               const char *other)
{
    char start[64];

    (void)snprintf(start, sizeof(start), TEST_FILE ":%u: ", line);
    for (unsigned i = 0; i < l->messages.count; i++)
        if (l->messages.warning[i] == warning && strncmp(l->messages.text[i], start, strlen(start)) == 0 &&
            strstr(l->messages.text[i], one) && strstr(l->messages.text[i], other))
            return true;
    return false;
}

static inline void print_messages(const struct load *l)
{
    for (unsigned i = 0; i < l->messages.count; i++)
        print_message("    %s\n", l->messages.text[i]);
}

/* One error and nothing else, at `line`. */
static inline void assert_error(const struct load *l, unsigned line, const char *one, const char *other)
{
    if (l->r != -22 || l->messages.count != 1 || !has_message(l, false, line, one, other)) {
        print_messages(l);
        fail_msg("expected one error in line %u with \"%s\" and \"%s\"", line, one, other);
    }
}

static inline void assert_warning(const struct load *l, unsigned line, const char *one, const char *other)
{
    if (l->r != 0 || l->messages.count != 1 || !has_message(l, true, line, one, other)) {
        print_messages(l);
        fail_msg("expected one warning in line %u with \"%s\" and \"%s\"", line, one, other);
    }
}

static inline void assert_silent(const struct load *l)
{
    if (l->r != 0 || l->messages.count != 0) {
        print_messages(l);
        fail_msg("expected no message");
    }
}
