/* Sizes, durations and percentages as people write them in a configuration, and back. A unit is mandatory
 * where one makes sense: "512" alone is an error, because nobody knows whether it means bytes or mebibytes.
 * Sizes are binary: K, M, G, T = 2^10 … 2^40 bytes; "B" stands for plain bytes. Durations: us, ms, s, min, h,
 * d. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/macros.h"
#include "base/text.h"

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define PERMYRIAD UINT64_C(10000)

/* "512M", "1.5G" (at most nine decimals; what is left below a byte is cut) → bytes; "0" needs no unit.
 * -EINVAL: not a size or no unit, -ERANGE: over 64 bits. */
int units_parse_bytes(struct text t, uint64_t *ret_bytes) _nodiscard_;
/* "150ms" → microseconds; "0" needs no unit. Same errors. */
int units_parse_usec(struct text t, uint64_t *ret_usec) _nodiscard_;
/* "5%" or "0.05%" → permyriad (1/10000); "0" needs no unit. -EINVAL: also what is finer than a permyriad;
 * -ERANGE: over 100 %. */
int units_parse_permyriad(struct text t, uint64_t *ret_permyriad) _nodiscard_;

/* "812.5M", "3.2s": one decimal, for people. Always ends in NUL; 24 bytes hold any value. UINT64_MAX prints
 * "max" (bytes) and "forever" (duration). */
#define UNITS_FORMAT_MAX 24
const char *units_format_bytes(char buf[static UNITS_FORMAT_MAX], uint64_t bytes);
const char *units_format_usec(char buf[static UNITS_FORMAT_MAX], uint64_t usec);
