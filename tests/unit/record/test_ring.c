/* The ring of decisions: what is kept, in which order it is forgotten, and that nothing else is touched. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/macros.h"
#include "record/ring.h"

#define GROUPS_MAX 1000

/* Something behind the ring: a record that is written too far is seen. */
static struct {
    struct record_ring ring;
    unsigned char guard[4096];
} store;

static struct record_ring *const ring = &store.ring;
static struct group groups[GROUPS_MAX];
static struct candidate candidates[GROUPS_MAX];
static struct snapshot snapshot;
static struct decision decision;

static int setup(void **state)
{
    (void)state;
    memset(&store, 0xaa, sizeof(store));
    memset(&decision, 0, sizeof(decision));
    record_ring_init(ring);
    snapshot = (struct snapshot){.now_usec = 9000, .groups = groups};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(store.guard); i++)
        if (store.guard[i] != 0xaa)
            return -1;
    return 0;
}

static bool is_process(unsigned i)
{
    return i % 3 == 2;
}

/* `count` groups with names of `length` bytes; those below `victims` are chosen. */
static void fill(unsigned count, size_t length, unsigned victims, uint64_t salt)
{
    snapshot.group_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct group *g = &groups[i];

        memset(g, 0, sizeof(*g));
        memset(g->path, 'a' + (int)((i + salt) % 26), length);
        g->birth_usec = 1000;
        if (is_process(i)) {
            g->pid = 1 + (pid_t)i;
            (void)strcpy(g->comm, "worker");
        }
        candidates[i] = (struct candidate){
            .id = 100 * salt + i,
            .pid = g->pid,
            .group_index = i,
            .class_index = i % 32,
            .priority = i,
            .freed_bytes = i * salt,
            .progress_usec = i + 1,
            .growth_bytes = i + 2,
            .request_bytes = UINT64_MAX - i,
            .retriable = i % 2,
            .over_request = i % 4 == 1,
            .last = i % 5 == 0,
            /* the victims stand at the end, where they would be cut first */
            .verdict = i + victims >= count ? VERDICT_CHOSEN : VERDICT_NOT_NEEDED,
        };
    }
}

static uint64_t add(uint64_t salt, unsigned victims)
{
    decision = (struct decision){.time_usec = salt,
                                 .wall_usec = salt + 1,
                                 .room = {.need = salt + 2},
                                 .trigger = {.detail = "high"},
                                 .reason = DECISION_KILL,
                                 .method = METHOD_EXACT,
                                 .groups = snapshot.group_count,
                                 .victim_count = victims,
                                 .expected_bytes = salt + 3};
    return record_ring_add(ring, &decision, candidates, &snapshot);
}

static void check_row(const struct record_row *row, const char *name, uint64_t salt, size_t length)
{
    unsigned i = (unsigned)(row->id - 100 * salt);
    char expected[GROUP_PATH_MAX + 32];

    assert_true(i < snapshot.group_count || i < GROUPS_MAX);
    memset(expected, 'a' + (int)((i + salt) % 26), length);
    expected[length] = '\0';
    if (is_process(i))
        (void)snprintf(expected + length, sizeof(expected) - length, "#%u worker", i + 1);
    assert_int_equal(row->name_length, strlen(expected));
    assert_memory_equal(name, expected, row->name_length);
    assert_int_equal(row->pid, is_process(i) ? i + 1 : 0);
    assert_true(row->freed_bytes == i * salt && row->progress_usec == i + 1 && row->growth_bytes == i + 2);
    assert_true(row->request_bytes == UINT64_MAX - i && row->age_usec == 8000);
    assert_true(row->class_index == i % 32 && row->priority == i);
    assert_true(row->retriable == i % 2 && row->over_request == (i % 4 == 1) && row->last == (i % 5 == 0));
}

/* The record as it was added with this salt; returns its victims. */
static unsigned check(const struct record_head *h, uint64_t id, uint64_t salt, size_t length)
{
    const struct record_row *row = NULL;
    unsigned rows = 0, victims = 0;
    const char *name;

    assert_non_null(h);
    assert_true(h->id == id && h->time_usec == salt && h->wall_usec == salt + 1);
    assert_true(h->room.need == salt + 2 && h->expected_bytes == salt + 3);
    assert_string_equal(h->trigger.detail, "high");
    assert_true(h->reason == DECISION_KILL && h->method == METHOD_EXACT);
    while ((row = record_next_row(h, row, &name)) != NULL) {
        check_row(row, name, salt, length);
        if (row->verdict == VERDICT_CHOSEN) {
            assert_int_equal(rows, victims); /* before all others */
            victims++;
        }
        rows++;
    }
    assert_int_equal(rows, h->row_count);
    assert_int_equal(h->row_count + h->rows_cut, h->groups);
    return victims;
}

static void test_empty(void **state _unused_)
{
    assert_null(record_ring_last(ring));
    assert_null(record_ring_get(ring, 0));
    assert_null(record_ring_get(ring, 1));
    assert_null(record_ring_get(ring, UINT64_MAX));
    assert_true(record_ring_oldest_id(ring) == 0);
    decision.id = 0;
    record_ring_set_outcome(ring, &decision);
    decision.id = 1;
    record_ring_set_outcome(ring, &decision);
    assert_null(record_ring_last(ring));
}

static void test_nobody(void **state _unused_)
{
    const char *name;

    fill(0, 0, 0, 1);
    assert_true(add(5, 0) == 1);
    assert_int_equal(check(record_ring_get(ring, 1), 1, 5, 0), 0);
    assert_null(record_next_row(record_ring_get(ring, 1), NULL, &name));
    assert_true(decision.id == 1);
}

static void test_rows(void **state _unused_)
{
    for (size_t length = 0; length < GROUP_PATH_MAX; length += 17) {
        fill(9, length, 3, length + 1);
        assert_int_equal(
            check(record_ring_get(ring, add(length + 1, 3)), length / 17 + 1, length + 1, length), 3);
    }
}

/* As many small ones as there are places, and 256 at the most. */
static void test_ids(void **state _unused_)
{
    for (uint64_t id = 1; id <= 3 * RECORD_IDS_MAX + 5; id++) {
        uint64_t oldest = id > RECORD_IDS_MAX ? id - RECORD_IDS_MAX + 1 : 1;

        fill(1, 8, 1, id);
        assert_true(add(id, 1) == id);
        assert_true(record_ring_oldest_id(ring) == oldest);
        assert_ptr_equal(record_ring_last(ring), record_ring_get(ring, id));
        assert_null(record_ring_get(ring, id + 1));
        assert_null(record_ring_get(ring, oldest - 1));
        for (uint64_t i = oldest; i <= id; i++)
            assert_int_equal(check(record_ring_get(ring, i), i, i, 8), 1);
    }
}

/* Records of all sizes, over and over the end of the ring: whatever is still there is whole, and the newest
 * always is. */
static void test_wraps(void **state _unused_)
{
    static size_t lengths[4000];
    uint64_t seed = 1, forgotten = 0;

    for (uint64_t id = 1; id < ARRAY_SIZE(lengths); id++) {
        unsigned count;

        seed = seed * UINT64_C(6364136223846793005) + 1;
        count = (unsigned)(seed >> 33) % (id % 9 == 0 ? 900 : id % 4 == 0 ? 100 : 4);
        lengths[id] = (size_t)(seed >> 40) % 120;
        fill(count, lengths[id], count < 2 ? count : 2, id);
        assert_true(add(id, 2) == id);
        assert_true(record_ring_oldest_id(ring) <= id);
        for (uint64_t i = record_ring_oldest_id(ring); i <= id; i++)
            assert_in_range(check(record_ring_get(ring, i), i, i, lengths[i]), 0, 2);
        assert_null(record_ring_get(ring, record_ring_oldest_id(ring) - 1));
        forgotten = record_ring_oldest_id(ring) - 1;
    }
    assert_true(forgotten > ARRAY_SIZE(lengths) - RECORD_IDS_MAX);
}

/* Sizes that fill the ring to the last byte. */
static void test_fits_exactly(void **state _unused_)
{
    uint64_t last = 0;

    for (unsigned count = 1; count < 200; count++)
        for (unsigned i = 0; i < 12; i++) {
            fill(count, 96, 1, count);
            last = add(count, 1);
            assert_int_equal(check(record_ring_get(ring, last), last, count, 96), 1);
            assert_true(ring->end <= RECORD_RING_BYTES && ring->wrap <= RECORD_RING_BYTES);
        }
    assert_true(last - record_ring_oldest_id(ring) > 3);
}

/* A thousand groups: the victims are kept, of the others as many as half of the ring holds. */
static void test_a_thousand(void **state _unused_)
{
    const struct record_head *h;

    fill(GROUPS_MAX, 200, DECISION_VICTIMS_MAX, 7);
    h = record_ring_get(ring, add(7, DECISION_VICTIMS_MAX));
    assert_int_equal(check(h, 1, 7, 200), DECISION_VICTIMS_MAX);
    assert_true(h->rows_cut > 0 && h->size <= RECORD_RING_BYTES / 2);
    assert_true(h->size > RECORD_RING_BYTES / 2 - 1024); /* and not fewer than that */
    fill(GROUPS_MAX, 20, DECISION_VICTIMS_MAX, 8);
    h = record_ring_get(ring, add(8, DECISION_VICTIMS_MAX));
    assert_int_equal(check(h, 2, 8, 20), DECISION_VICTIMS_MAX);
    assert_int_equal(h->rows_cut, 0);          /* paths as they usually are: all of them */
    assert_non_null(record_ring_get(ring, 1)); /* two of the largest have room */
    fill(GROUPS_MAX, GROUP_PATH_MAX - 1, DECISION_VICTIMS_MAX, 9);
    assert_int_equal(check(record_ring_get(ring, add(9, DECISION_VICTIMS_MAX)), 3, 9, GROUP_PATH_MAX - 1),
                     DECISION_VICTIMS_MAX);
    assert_null(record_ring_get(ring, 1));
}

/* Why its first victim was paused; what is left in the array of an earlier decision is not kept. */
static void test_why(void **state _unused_)
{
    fill(3, 30, 1, 1);
    memset(&decision, 0, sizeof(decision));
    decision.reason = DECISION_PAUSE;
    decision.victims[0].why = PAUSE_WHY_THRASH;
    decision.victim_count = 1;
    assert_int_equal(record_ring_get(ring, record_ring_add(ring, &decision, candidates, &snapshot))->why,
                     PAUSE_WHY_THRASH);
    decision.victim_count = 0;
    assert_int_equal(record_ring_get(ring, record_ring_add(ring, &decision, candidates, &snapshot))->why,
                     PAUSE_WHY_NONE);
}

static void test_knobs(void **state _unused_)
{
    static struct record_knob knobs[3];
    const struct record_row *row = NULL;
    const struct record_head *h;
    const char *name;

    for (unsigned i = 0; i < ARRAY_SIZE(knobs); i++) {
        knobs[i] = (struct record_knob){
            .id = 7 + i, .found = i == 0 ? UINT64_MAX : i, .ours = 4096, .done = (uint8_t)i};
        memset(knobs[i].path, 'p', i == 2 ? sizeof(knobs[i].path) - 1 : 3);
        memset(knobs[i].knob, 'k', i == 2 ? sizeof(knobs[i].knob) - 1 : 4);
    }
    memset(&decision, 0, sizeof(decision));
    decision.reason = DECISION_DRIFT;
    for (unsigned n = 0; n < 1000; n++)
        h = record_ring_get(ring, record_ring_add_knobs(ring, &decision, knobs, n % 4));
    assert_int_equal(h->row_count, 3);
    for (unsigned i = 0; i < ARRAY_SIZE(knobs); i++) {
        row = record_next_row(h, row, &name);
        assert_non_null(row);
        assert_true(row->id == 7 + i && row->freed_bytes == knobs[i].found && row->request_bytes == 4096);
        assert_int_equal(row->priority, i);
        assert_int_equal(row->name_length, i == 2 ? GROUP_PATH_MAX + 23 : 8);
        assert_memory_equal(name, knobs[i].knob, strlen(knobs[i].knob));
        assert_int_equal(name[strlen(knobs[i].knob)], ' ');
    }
    assert_null(record_next_row(h, row, &name));
    assert_int_equal(record_knob_value("oom_score_adj:7", 0), -1000);
    assert_int_equal(record_knob_value("memory.high", 4096), 4096);
}

static void test_asked(void **state _unused_)
{
    const struct record_row *row = NULL;
    const struct record_head *h;
    const char *name;

    memset(&decision, 0, sizeof(decision));
    decision.reason = DECISION_NOTIFY;
    decision.asked = 70;
    for (unsigned i = 0; i < DECISION_VICTIMS_MAX; i++) {
        struct victim *v = &decision.victims[i];

        *v = (struct victim){.pid = i == 1 ? 77 : 0,
                             .class_index = 2,
                             .programs = i + 1,
                             .held_bytes = 400,
                             .expected_bytes = 100,
                             .gave_bytes = i};
        memset(v->path, 'p', i == 0 ? sizeof(v->path) - 1 : 3);
    }
    for (unsigned n = 0; n < 1000; n++) {
        decision.victim_count = n % (DECISION_VICTIMS_MAX + 1);
        h = record_ring_get(ring, record_ring_add_asked(ring, &decision));
    }
    assert_int_equal(h->asked, 70);
    assert_int_equal(h->row_count, decision.victim_count);
    for (unsigned i = 0; i < decision.victim_count; i++) {
        row = record_next_row(h, row, &name);
        assert_non_null(row);
        assert_true(row->freed_bytes == i && row->request_bytes == 400 && row->growth_bytes == 100);
        assert_true(row->priority == i + 1 && row->class_index == 2 && row->verdict == VERDICT_CHOSEN);
        assert_int_equal(row->name_length, i == 0 ? GROUP_PATH_MAX - 1 : i == 1 ? 6 : 3);
        if (i == 1)
            assert_memory_equal(name, "ppp#77", 6);
    }
    assert_null(record_next_row(h, row, &name));
}

static void test_outcome(void **state _unused_)
{
    const struct record_head *h;
    struct decision old;

    fill(20, 30, 2, 1);
    (void)add(1, 2);
    old = decision;
    (void)add(2, 2);
    old.ended = true;
    old.gone = 1;
    old.stuck = 2;
    old.failed = 3;
    old.used_after = 4;
    old.need_after = 5;
    old.freed_bytes = 6;
    old.select_usec = 7;
    old.signal_usec = 8;
    old.outcome_usec = 9;
    record_ring_set_outcome(ring, &old);
    h = record_ring_get(ring, 1);
    assert_int_equal(check(h, 1, 1, 30), 2);
    assert_true(h->ended && h->gone == 1 && h->stuck == 2 && h->failed == 3);
    assert_true(h->used_after == 4 && h->need_after == 5 && h->freed_bytes == 6);
    assert_true(h->select_usec == 7 && h->signal_usec == 8 && h->outcome_usec == 9);
    assert_false(record_ring_get(ring, 2)->ended);
}

/* The outcome of one that was pushed out meanwhile changes nothing. */
static void test_outcome_of_a_forgotten_one(void **state _unused_)
{
    static struct record_ring before;
    struct decision old;

    fill(3, 30, 1, 1);
    (void)add(1, 1);
    old = decision;
    for (uint64_t i = 0; i < RECORD_IDS_MAX; i++)
        (void)add(1, 1);
    assert_null(record_ring_get(ring, old.id));
    before = *ring;
    old.ended = true;
    old.gone = 77;
    record_ring_set_outcome(ring, &old);
    old.id = UINT64_MAX;
    record_ring_set_outcome(ring, &old);
    assert_memory_equal(&before, ring, sizeof(before));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

/* The configuration is another one: each row follows its class, or has none. */
static void test_other_classes(void **state _unused_)
{
    uint16_t map[CONFIG_CLASSES_MAX];
    const struct record_row *row = NULL;
    const char *name;
    uint64_t ids[2];

    for (unsigned i = 0; i < CONFIG_CLASSES_MAX; i++)
        map[i] = i % 2 ? RECORD_CLASS_GONE : (uint16_t)(31 - i);
    fill(40, 10, 1, 1);
    ids[0] = add(1, 1);
    ids[1] = add(1, 1);
    for (unsigned twice = 0; twice < 2; twice++) {
        record_ring_map_classes(ring, map);
        for (unsigned r = 0; r < 2; r++)
            while ((row = record_next_row(record_ring_get(ring, ids[r]), row, &name)) != NULL) {
                unsigned was = (unsigned)(row->id - 100) % 32;

                /* 31 - i of an even one is an odd one, which the second map takes away */
                assert_int_equal(row->class_index, was % 2 || twice ? RECORD_CLASS_GONE : 31 - was);
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_empty),         TEST(test_nobody),  TEST(test_rows),
        TEST(test_ids),           TEST(test_wraps),   TEST(test_fits_exactly),
        TEST(test_a_thousand),    TEST(test_outcome), TEST(test_outcome_of_a_forgotten_one),
        TEST(test_why),           TEST(test_knobs),   TEST(test_asked),
        TEST(test_other_classes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
