#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/daemon.h"

/* Where the loop's memory is. All that has a place a group lies in one mapping, so that MaxGroups decides
 * what it takes, and the companions, which would make copies of it page by page, do not get it.
 *
 * Locked in full: the program itself with its data, the arrays, the stack. Of the libraries, what has been
 * used once (by the first look, most of it): locked in full they would be two thirds of all that is locked.
 * The buffers of clients are locked as they are used, the first ones beforehand: eight at a time are rare. */

#define STACK_BYTES 131072
#define CLIENTS_READY 2

/* From the linker: the program's data. The daemon's object is in it. */
extern char __data_start[], _end[];

struct array {
    size_t offset; /* of the pointer in struct daemon */
    size_t size;   /* of a place */
};

static const struct array arrays[] = {
    {offsetof(struct daemon, groups), sizeof(struct group)},
    {offsetof(struct daemon, handles), sizeof(struct group_handle)},
    {offsetof(struct daemon, pause_rows), sizeof(struct pause_row)},
    {offsetof(struct daemon, candidates), sizeof(struct candidate)},
    {offsetof(struct daemon, items), sizeof(struct cover_item)},
};

static size_t rounded(size_t bytes)
{
    return (bytes + DAEMON_PAGE - 1) / DAEMON_PAGE * DAEMON_PAGE;
}

static size_t arrays_bytes(const struct daemon *d)
{
    size_t bytes = 0;

    for (size_t i = 0; i < ARRAY_SIZE(arrays); i++)
        bytes += rounded(arrays[i].size * d->group_max);
    return bytes;
}

int storage_open(struct daemon *d)
{
    char *at;

    d->group_max = d->config.max_groups;
    at = mmap(NULL, arrays_bytes(d), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return -errno;
    (void)madvise(at, arrays_bytes(d), MADV_DONTFORK);
    (void)madvise(&d->ring, (size_t)(&d->end - (char *)&d->ring), MADV_DONTFORK);
    for (size_t i = 0; i < ARRAY_SIZE(arrays); i++) {
        memcpy((char *)d + arrays[i].offset, &at, sizeof(at));
        at += rounded(arrays[i].size * d->group_max);
    }
    return 0;
}

int storage_lock(struct daemon *d)
{
    char *rare = (char *)&d->control.clients[CLIENTS_READY];
    int r = memory_lock(STACK_BYTES);

    if (r == 0)
        r = memory_lock_data(__data_start, (size_t)(rare - __data_start));
    if (r == 0)
        r = memory_lock_data(&d->end, (size_t)(_end - &d->end));
    if (r == 0)
        r = memory_lock_data(d->groups, arrays_bytes(d));
    return r;
}
