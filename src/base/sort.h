/* Sorting without the heap: qsort of glibc allocates as soon as an array is over a kilobyte. Heapsort, not
 * stable. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef bool (*sort_before_fn)(const void *a, const void *b, const void *user);

/* Element size at most SORT_ELEMENT_MAX. */
#define SORT_ELEMENT_MAX 128
void sort_array(void *array, size_t count, size_t size, sort_before_fn before, const void *user);
