#include "offload_kernel.h"

#include <stdlib.h>

#define ACTIVE 0
#define INACTIVE 1
#define GENERATIONS_LEAST 2
#define GENERATIONS_MOST 4
#define PRIORITY 12
#define PRIORITY_LEAST 3 /* an eighth at once: what has been seen of 6.12 */

static unsigned below(struct sim *k, unsigned n)
{
    return (unsigned)(random_next(&k->random) >> 16) % n;
}

/* ---- lists ---- */

static void unlink_object(struct sim *k, unsigned i)
{
    struct sim_object *o = &k->objects[i];

    *(o->prev ? &k->objects[o->prev - 1].next : &k->lists[o->list].head) = o->next;
    *(o->next ? &k->objects[o->next - 1].prev : &k->lists[o->list].tail) = o->prev;
    k->lists[o->list].count--;
}

static void link_object(struct sim *k, unsigned i, unsigned list)
{
    struct sim_object *o = &k->objects[i];

    o->list = (unsigned char)list;
    o->prev = 0;
    o->next = k->lists[list].head;
    *(o->next ? &k->objects[o->next - 1].prev : &k->lists[list].tail) = i + 1;
    k->lists[list].head = i + 1;
    k->lists[list].count++;
}

static void move(struct sim *k, unsigned i, unsigned list)
{
    unlink_object(k, i);
    link_object(k, i, list);
}

static void add(struct sim *k, unsigned i)
{
    k->objects[i].out = false;
    k->objects[i].used = true;
    k->in++;
    link_object(k, i, k->generations ? k->max_seq % GENERATIONS_MOST : INACTIVE);
}

static unsigned take_one(struct sim *k, unsigned i)
{
    unlink_object(k, i);
    k->objects[i].out = true;
    k->objects[i].huge = false;
    k->in--;
    k->steal += OBJECT_PAGES;
    return 1;
}

/* With the rest of its huge page. */
static unsigned take(struct sim *k, unsigned i)
{
    unsigned from = i - i % HUGE_OBJECTS, n = 0;

    if (!k->objects[i].huge)
        return take_one(k, i);
    for (unsigned j = from; j < from + HUGE_OBJECTS && j < k->load.objects; j++)
        if (k->objects[j].huge && !k->objects[j].out)
            n += take_one(k, j);
    return n;
}

static bool was_used(struct sim *k, unsigned i)
{
    unsigned from = i - i % HUGE_OBJECTS;
    bool used = k->objects[i].used;

    k->objects[i].used = false;
    if (k->objects[i].huge)
        for (unsigned j = from; j < from + HUGE_OBJECTS && j < k->load.objects; j++)
            used = used || (k->objects[j].huge && k->objects[j].used);
    return used;
}

/* ---- reclaim with generations ---- */

static unsigned generation(const struct sim *k, unsigned seq)
{
    return k->lists[seq % GENERATIONS_MOST].count;
}

static void drop_empty(struct sim *k)
{
    while (k->min_seq + GENERATIONS_LEAST <= k->max_seq && generation(k, k->min_seq) == 0)
        k->min_seq++;
}

static void age(struct sim *k)
{
    bool full = k->max_seq - k->min_seq + 1 == GENERATIONS_MOST;

    for (unsigned i = 0; full && k->lists[k->min_seq % GENERATIONS_MOST].tail != 0; i++)
        move(k, k->lists[k->min_seq % GENERATIONS_MOST].tail - 1, (k->min_seq + 1) % GENERATIONS_MOST);
    k->min_seq += full;
    k->max_seq++;
    for (unsigned i = 0; i < k->load.objects; i++)
        if (!k->objects[i].out && was_used(k, i))
            move(k, i, k->max_seq % GENERATIONS_MOST);
}

static bool should_age(const struct sim *k)
{
    if (k->min_seq + GENERATIONS_LEAST < k->max_seq)
        return false;
    return k->min_seq + GENERATIONS_LEAST > k->max_seq || generation(k, k->max_seq) * 2 > k->in ||
           generation(k, k->max_seq - GENERATIONS_LEAST) * 4 < k->in;
}

static unsigned reclaim_generations(struct sim *k, unsigned wanted)
{
    unsigned taken = 0, wasted = k->looked_at ? 0 : k->wasted;

    for (unsigned priority = PRIORITY + 1; priority-- > PRIORITY_LEAST && taken < wanted;) {
        unsigned left = k->in >> priority;

        drop_empty(k);
        if (priority < PRIORITY && (should_age(k) || wasted > 0)) {
            age(k);
            wasted -= wasted > 0;
            continue;
        }
        left = left > 0 ? left : 1;
        while (left > 0) {
            unsigned list = k->min_seq % GENERATIONS_MOST, i, n;

            if (k->max_seq - k->min_seq + 1 <= GENERATIONS_LEAST || k->lists[list].tail == 0)
                break;
            i = k->lists[list].tail - 1;
            k->scan += OBJECT_PAGES;
            left--;
            if (was_used(k, i)) {
                move(k, i, k->max_seq % GENERATIONS_MOST);
            } else {
                n = take(k, i);
                taken += n;
                left -= n - 1 < left ? n - 1 : left;
            }
            drop_empty(k);
        }
    }
    k->looked_at = true;
    return taken;
}

/* ---- reclaim with two lists ---- */

static void deactivate(struct sim *k, unsigned n)
{
    while (n-- > 0 && k->lists[ACTIVE].tail != 0 && k->lists[INACTIVE].count < k->lists[ACTIVE].count) {
        unsigned i = k->lists[ACTIVE].tail - 1;

        k->objects[i].used = false;
        move(k, i, INACTIVE);
        k->scan += OBJECT_PAGES;
    }
}

static unsigned reclaim_lists(struct sim *k, unsigned wanted)
{
    unsigned taken = 0;

    for (unsigned priority = PRIORITY + 1; priority-- > 0 && taken < wanted;) {
        unsigned left = (k->lists[INACTIVE].count >> priority) + 8;

        deactivate(k, (k->lists[ACTIVE].count >> priority) + 8);
        while (left-- > 0 && taken < wanted && k->lists[INACTIVE].tail != 0) {
            unsigned i = k->lists[INACTIVE].tail - 1;

            k->scan += OBJECT_PAGES;
            if (was_used(k, i))
                move(k, i, ACTIVE);
            else
                taken += take(k, i);
        }
    }
    return taken;
}

uint64_t sim_reclaim(struct sim *k, uint64_t bytes)
{
    unsigned wanted = (unsigned)((bytes + OBJECT_BYTES - 1) / OBJECT_BYTES);

    return (k->generations ? reclaim_generations(k, wanted) : reclaim_lists(k, wanted)) * OBJECT_BYTES;
}

/* ---- the service ---- */

/* Comes back with its neighbours, where the device reads them along. What was known for used is so again. */
static unsigned fault(struct sim *k, unsigned i)
{
    const struct sim_device *d = k->device;
    unsigned from = i - i % (d->around + 1),
             usec = d->least_usec + below(k, d->most_usec - d->least_usec + 1);

    for (unsigned j = from; j <= from + d->around && j < k->load.objects; j++) {
        if (!k->objects[j].out)
            continue;
        add(k, j);
        k->objects[j].used = j == i;
        if (!k->generations && j == i)
            move(k, j, ACTIVE);
    }
    k->refaults += OBJECT_PAGES;
    return below(k, 100) == 0 ? 10 * usec : usec;
}

static unsigned use(struct sim *k, unsigned i)
{
    unsigned waited = k->objects[i].out ? fault(k, i) : 0;

    k->objects[i].used = true;
    return waited;
}

static void answer(struct sim *k, uint64_t due_usec, unsigned nth)
{
    const struct sim_load *l = &k->load;
    uint64_t begin = u64_max(due_usec, k->free_usec);
    unsigned waited = 0, own = l->base_usec + below(k, l->base_usec / 4 + 1);

    own += below(k, 50) == 0 ? l->base_usec : 0; /* it has a tail of its own */
    if (below(k, l->cold_every) == 0)
        waited = use(k, below(k, l->objects));
    else
        for (unsigned i = 0; i < l->uses; i++)
            waited += use(k, (k->hot_from + below(k, l->hot)) % l->objects);
    k->memory_usec += waited;
    k->free_usec = begin + own + waited;
    k->spans[nth] = (unsigned)u64_min(k->free_usec - due_usec, UINT32_MAX);
}

static int compare(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return (x > y) - (x < y);
}

void sim_second(struct sim *k)
{
    unsigned n = k->load.rate;

    for (unsigned i = 0; i < n; i++)
        answer(k, k->now_usec + i * USEC_PER_SEC / n, i);
    k->now_usec += USEC_PER_SEC;
    qsort(k->spans, n, sizeof(k->spans[0]), compare);
    k->p99_usec = k->spans[(n * 99 + 99) / 100 - 1];
}

void sim_grow(struct sim *k, unsigned objects)
{
    for (; objects > 0 && k->load.objects < OBJECTS_MAX; objects--)
        add(k, k->load.objects++);
}

void sim_init(struct sim *k, const struct sim_device *d, const struct sim_load *l, bool generations,
              bool huge, uint64_t seed)
{
    *k = (struct sim){.random = seed,
                      .now_usec = USEC_PER_SEC,
                      .device = d,
                      .load = *l,
                      .generations = generations,
                      .max_seq = GENERATIONS_LEAST,
                      .min_seq = GENERATIONS_LEAST - 1};
    k->wasted = below(k, 6);
    k->load.objects = 0;
    sim_grow(k, l->objects);
    for (unsigned i = 0; huge && i < l->objects; i++)
        k->objects[i].huge = true;
}

static uint64_t compressed(const struct sim *k)
{
    return (uint64_t)(k->load.objects - k->in) * OBJECT_BYTES * k->device->zswap_permyriad / PERMYRIAD;
}

void sim_fill(const struct sim *k, struct offload_reading *in)
{
    *in = (struct offload_reading){.now_usec = k->now_usec,
                                   .current_bytes = k->in * OBJECT_BYTES + compressed(k),
                                   .anon_bytes = k->in * OBJECT_BYTES,
                                   .swap_room_bytes = UINT64_MAX,
                                   .memory_some_usec = k->memory_usec,
                                   .io_some_usec = k->device->zswap_permyriad ? 0 : k->memory_usec,
                                   .refault_bytes = k->refaults * OFFLOAD_PAGE,
                                   .scan_pages = k->scan,
                                   .steal_pages = k->steal,
                                   .budget_bytes = UINT64_MAX,
                                   .file_only_possible = true};
    if (k->device->zswap_permyriad) {
        in->zswap_bytes = compressed(k);
        in->zswapped_bytes = (uint64_t)(k->load.objects - k->in) * OBJECT_BYTES;
    }
}

static bool is_hot(const struct sim *k, unsigned i)
{
    return (i + k->load.objects - k->hot_from) % k->load.objects < k->load.hot;
}

/* What is hot and out is no saving: it is to come back. */
unsigned sim_saved_permille(const struct sim *k)
{
    unsigned out = 0;

    for (unsigned i = 0; i < k->load.objects; i++)
        out += k->objects[i].out && !is_hot(k, i);
    return k->load.objects == k->load.hot ? 0 : out * 1000 / (k->load.objects - k->load.hot);
}

unsigned sim_hot_out(const struct sim *k)
{
    unsigned out = 0;

    for (unsigned i = 0; i < k->load.objects; i++)
        out += k->objects[i].out && is_hot(k, i);
    return out;
}
