#include "base/sort.h"

#include <string.h>

struct heap {
    unsigned char *data;
    size_t size;
    sort_before_fn before;
    const void *user;
};

static void *at(const struct heap *h, size_t i)
{
    return h->data + i * h->size;
}

static void swap(const struct heap *h, size_t a, size_t b)
{
    unsigned char t[SORT_ELEMENT_MAX];

    memcpy(t, at(h, a), h->size);
    memcpy(at(h, a), at(h, b), h->size);
    memcpy(at(h, b), t, h->size);
}

static void sift_down(const struct heap *h, size_t root, size_t count)
{
    for (;;) {
        size_t last = root, left = 2 * root + 1, right = left + 1;

        if (left < count && h->before(at(h, last), at(h, left), h->user))
            last = left;
        if (right < count && h->before(at(h, last), at(h, right), h->user))
            last = right;
        if (last == root)
            return;
        swap(h, root, last);
        root = last;
    }
}

void sort_array(void *array, size_t count, size_t size, sort_before_fn before, const void *user)
{
    struct heap h = {.data = array, .size = size, .before = before, .user = user};

    if (size > SORT_ELEMENT_MAX)
        return;
    for (size_t i = count / 2; i-- > 0;)
        sift_down(&h, i, count);
    for (size_t i = count; i-- > 1;) {
        swap(&h, 0, i);
        sift_down(&h, 0, i);
    }
}
