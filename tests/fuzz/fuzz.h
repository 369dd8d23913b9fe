/* The entry that libFuzzer and replay_main.c call, and what a target does when a law is broken. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert: a target that is built with NDEBUG would find nothing. */
#define FUZZ_REQUIRE(law)                                                                                    \
    do {                                                                                                     \
        if (!(law)) {                                                                                        \
            (void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #law);                          \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)
