#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "daemon/daemon.h"

/* Where the loop's memory is. All that has a place a group lies in one mapping, so that MaxGroups decides
 * what it takes, and the companions, which would make copies of it page by page, do not get it.
 *
 * Whatever is touched is locked from then on, and the start touches most. In full and at once: the program's
 * code, its initialised data (the log is in it), the arrays, the record, what the loop remembers from look to
 * look, the stack. So not in full: the libraries (they would be two thirds of all that is locked), the
 * configuration (nobody writes to it, so that the three processes have it once), the buffers of all clients
 * but the first, and the arena of their JSON.
 */

#define STACK_BYTES 98304
#define CLIENTS_READY 1

/* From the linker. */
extern char __data_start[], _edata[];

struct array {
    size_t offset;   /* of the pointer in struct daemon */
    size_t size;     /* of a place */
    bool of_clients; /* one each, not one a group */
};

static const struct array arrays[] = {
    {offsetof(struct daemon, groups), sizeof(struct group)},
    {offsetof(struct daemon, handles), sizeof(struct group_handle)},
    {offsetof(struct daemon, watches), SNAPSHOT_WATCHES_OF(sizeof(struct group_watch))},
    {offsetof(struct daemon, candidates), sizeof(struct candidate)},
    {offsetof(struct daemon, items), sizeof(struct cover_item)},
    {offsetof(struct daemon, notify_clients), sizeof(struct notify_client), true},
    {offsetof(struct daemon, notify_users), sizeof(struct notify_user), true},
    {offsetof(struct daemon, pressure_clients), sizeof(struct pressure_client), true},
};

static size_t array_bytes(const struct daemon *d, const struct array *a)
{
    size_t bytes = a->size * (a->of_clients ? d->config.max_clients : d->group_max);

    return (bytes + DAEMON_PAGE - 1) / DAEMON_PAGE * DAEMON_PAGE;
}

/* Those of clients are behind the others. */
static size_t arrays_bytes(const struct daemon *d, bool clients)
{
    size_t bytes = 0;

    for (size_t i = 0; i < ARRAY_SIZE(arrays); i++)
        if (clients || !arrays[i].of_clients)
            bytes += array_bytes(d, &arrays[i]);
    return bytes;
}

int storage_open(struct daemon *d)
{
    char *at;

    d->group_max = d->config.max_groups;
    at = mmap(NULL, arrays_bytes(d, true), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return -errno;
    (void)madvise(at, arrays_bytes(d, true), MADV_DONTFORK);
    (void)madvise(&d->ring, (size_t)(&d->end - (char *)&d->ring), MADV_DONTFORK);
    for (size_t i = 0; i < ARRAY_SIZE(arrays); i++) {
        memcpy((char *)d + arrays[i].offset, &at, sizeof(at));
        at += array_bytes(d, &arrays[i]);
    }
    /* Neither is kept from one call of its policy to the next, and those two never run at once. */
    _Static_assert(sizeof(struct pause_row) <= sizeof(struct cover_item), "the rows of a plan do not fit");
    d->pause_rows = (struct pause_row *)(void *)d->items;
    return offloading_open(d);
}

int storage_lock(struct daemon *d)
{
    char *behind_config = (char *)(&d->config + 1), *rare = (char *)&d->control.clients[CLIENTS_READY];
    const struct {
        void *at;
        size_t bytes;
    } parts[] = {
        {__data_start, (size_t)(_edata - __data_start)},
        {behind_config, (size_t)(rare - behind_config)},
        {d->groups, arrays_bytes(d, false)}, /* clients' places are locked as they come */
    };
    int r = memory_lock(STACK_BYTES);

    for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
        r = memory_lock_data(parts[i].at, parts[i].bytes);
    return r;
}
