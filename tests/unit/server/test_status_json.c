/* The status as JSON: what is in it when there is nothing, and when there is as much as can be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/macros.h"
#include "server/status_json.h"

static struct config config;
static struct snapshot snapshot;
static struct room room;
static struct status status;

static void fill(void)
{
    config_init_defaults(&config);
    memset(&snapshot, 0, sizeof(snapshot));
    memset(&room, 0, sizeof(room));
    status = (struct status){
        .version = "1",
        .config_path = "",
        .mode = "isolate",
        .mode_reason = "because",
        .config = &config,
        .snapshot = &snapshot,
        .room = &room,
        .start_usec = 100,
        .now_usec = 350,
    };
}

static json_int_t number(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);

    assert_true(json_is_integer(v));
    return json_integer_value(v);
}

static void test_before_the_first_look(void **state _unused_)
{
    json_t *o;

    fill();
    o = status_to_json(&status, 65536);
    assert_int_equal(number(o, "uptime_usec"), 250);
    assert_null(json_object_get(o, "room"));
    assert_null(json_object_get(o, "workloads"));
    assert_int_equal(json_array_size(json_object_get(o, "warnings")), 0);
    assert_true(json_is_object(json_object_get(o, "counters")));
    json_decref(o);
}

static void test_after_a_look(void **state _unused_)
{
    const struct room nodes_room = {.nodes = 0xd, .need = 7};
    json_t *o, *w, *r;

    fill();
    status.has_look = true;
    snapshot.workload_count = 2;
    (void)strcpy(snapshot.workloads[0].path, "workload.slice");
    snapshot.workloads[0].id = 5;
    snapshot.workloads[0].high = UINT64_MAX;
    (void)strcpy(snapshot.workloads[1].path, "gone.slice");
    room.room = -4096;
    room.time_left_usec = UINT64_MAX;
    o = status_to_json(&status, 65536);
    w = json_object_get(o, "workloads");
    assert_int_equal(json_array_size(w), 2);
    assert_true(json_is_true(json_object_get(json_array_get(w, 0), "present")));
    assert_true(
        json_is_null(json_object_get(json_array_get(w, 0), "memory_high_bytes"))); /* none is no number */
    assert_true(json_is_false(json_object_get(json_array_get(w, 1), "present")));
    r = json_object_get(o, "room");
    assert_int_equal(number(r, "room_bytes"), -4096);
    assert_true(json_is_null(json_object_get(r, "time_left_usec")));
    assert_null(json_object_get(o, "nodes_room")); /* nobody is bound to some NUMA nodes */
    assert_null(json_object_get(r, "nodes"));
    json_decref(o);

    status.numa_room = &nodes_room;
    o = status_to_json(&status, 65536);
    r = json_object_get(o, "nodes_room");
    assert_string_equal(json_string_value(json_object_get(r, "nodes")), "0,2-3");
    assert_int_equal(number(r, "need_bytes"), 7);
    json_decref(o);
}

static struct record_ring ring;

/* A decision as it is kept, with its victims, and its candidates apart. */
static void test_decision(void **state _unused_)
{
    struct group groups[3] = {{.id = 1}, {.id = 2, .pid = 7}, {.id = 3}};
    struct candidate candidates[3] = {
        {.id = 1, .group_index = 0, .verdict = VERDICT_CHOSEN, .request_bytes = GROUP_REQUEST_NONE},
        {.id = 2, .pid = 7, .group_index = 1, .verdict = VERDICT_CULPRIT, .request_bytes = 5},
        {.id = 3, .group_index = 2, .verdict = VERDICT_NOT_NEEDED},
    };
    struct snapshot s = {.groups = groups, .group_count = 3, .group_max = 3};
    static struct decision d;
    const struct record_head *h;
    json_t *o, *v;

    fill();
    (void)strcpy(groups[0].path, "a");
    (void)strcpy(groups[1].path, "b");
    (void)strcpy(groups[1].comm, "hog");
    record_ring_init(&ring);
    d.reason = DECISION_KILL;
    d.victim_count = 2;
    h = record_ring_get(&ring, record_ring_add(&ring, &d, candidates, &s));
    assert_non_null(h);
    o = record_to_json(&config, h);
    assert_string_equal(json_string_value(json_object_get(o, "action")), "kill");
    assert_string_equal(json_string_value(json_object_get(o, "detail")), "");
    assert_string_equal(json_string_value(json_object_get(o, "why")), "none");
    v = json_object_get(o, "victims");
    assert_int_equal(json_array_size(v), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(v, 0), "group")), "a");
    assert_null(json_object_get(json_array_get(v, 0), "pid"));
    assert_true(json_is_null(json_object_get(json_array_get(v, 0), "request_bytes")));
    assert_int_equal(number(json_array_get(v, 1), "pid"), 7);
    assert_string_equal(json_string_value(json_object_get(json_array_get(v, 1), "group")), "b#7 hog");
    json_decref(o);
    o = record_rows_to_json(&config, h, 1, 1, false);
    assert_int_equal(json_array_size(o), 1);
    json_decref(o);
    o = record_rows_to_json(&config, h, 2, 10, false);
    assert_int_equal(json_array_size(o), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(o, 0), "verdict")), "not-needed");
    json_decref(o);
}

static void test_decision_to_pause(void **state _unused_)
{
    static struct snapshot none;
    static struct decision d;
    json_t *o;

    fill();
    record_ring_init(&ring);
    d.reason = DECISION_PAUSE;
    d.victim_count = 1;
    d.victims[0].why = PAUSE_WHY_BIRTH;
    o = record_to_json(&config, record_ring_get(&ring, record_ring_add(&ring, &d, NULL, &none)));
    assert_string_equal(json_string_value(json_object_get(o, "action")), "pause");
    assert_string_equal(json_string_value(json_object_get(o, "why")), "birth");
    json_decref(o);
}

static const char *text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static void test_pauses(void **state _unused_)
{
    static const struct status_pause pauses[] = {
        {.path = "workload.slice/a",
         .class_name = "batch",
         .why = "growth",
         .waits_for = "20M of room",
         .since_usec = 150,
         .until_usec = 1350,
         .held_bytes = 4096,
         .frozen = true},
        {.path = "workload.slice/ray",
         .pid = 12,
         .comm = "task",
         .class_name = "ray",
         .why = "operator",
         .waits_for = "",
         .since_usec = 999, /* after now: clocks are read at two moments */
         .until_usec = UINT64_MAX},
        {.path = "b\xe9", .class_name = "x", .why = "birth", .waits_for = "", .until_usec = 3},
    };
    json_t *o, *a, *p;

    fill();
    status.pauses = pauses;
    status.pause_count = 3;
    status.pauses_done = 5;
    status.resumes_done = 2;
    status.reclaimed_bytes = 77;
    o = status_to_json(&status, 65536);
    a = json_object_get(o, "pauses");
    assert_int_equal(json_array_size(a), 3);
    assert_int_equal(number(o, "pauses_left_out"), 0);
    p = json_array_get(a, 0);
    assert_string_equal(text(p, "group"), "workload.slice/a");
    assert_null(json_object_get(p, "pid"));
    assert_string_equal(text(p, "class"), "batch");
    assert_string_equal(text(p, "why"), "growth");
    assert_string_equal(text(p, "waits_for"), "20M of room");
    assert_int_equal(number(p, "paused_usec"), 200);
    assert_int_equal(number(p, "left_usec"), 1000);
    assert_int_equal(number(p, "held_bytes"), 4096);
    assert_true(json_is_true(json_object_get(p, "frozen")));
    p = json_array_get(a, 1);
    assert_string_equal(text(p, "group"), "workload.slice/ray#12 task");
    assert_int_equal(number(p, "pid"), 12);
    assert_int_equal(number(p, "paused_usec"), 0);
    assert_true(json_is_null(json_object_get(p, "left_usec")));
    assert_true(json_is_false(json_object_get(p, "frozen")));
    p = json_array_get(a, 2);
    assert_string_equal(text(p, "group"), "(not UTF-8)");
    assert_int_equal(number(p, "left_usec"), 0);
    p = json_object_get(o, "counters");
    assert_int_equal(number(p, "pauses"), 5);
    assert_int_equal(number(p, "resumes"), 2);
    assert_int_equal(number(p, "reclaimed_bytes"), 77);
    json_decref(o);
}

/* What is not shown is counted: for want of room, or because it is more than anybody reads. */
static void test_pauses_left_out(void **state _unused_)
{
    static struct status_pause pauses[200];
    char path[GROUP_PATH_MAX] = "";
    size_t rows, before = 0;
    json_t *o;

    fill();
    memset(path, '\x02', sizeof(path) - 1);
    for (size_t i = 0; i < ARRAY_SIZE(pauses); i++)
        pauses[i] = (struct status_pause){.path = path, .class_name = "c", .why = "growth"};
    status.pauses = pauses;
    status.pause_count = ARRAY_SIZE(pauses);
    for (size_t max = 0; max < 200000; max += 997) {
        o = status_to_json(&status, max);
        rows = json_array_size(json_object_get(o, "pauses"));
        assert_int_equal(rows + (size_t)number(o, "pauses_left_out"), ARRAY_SIZE(pauses));
        assert_true(rows >= before && rows <= STATUS_PAUSES_SHOWN);
        if (rows > 0)
            assert_true(json_dumpb(o, NULL, 0, JSON_COMPACT) <= max);
        before = rows;
        json_decref(o);
    }
    assert_int_equal(before, STATUS_PAUSES_SHOWN);
}

static void test_next(void **state _unused_)
{
    json_t *o, *a, *n;

    fill();
    o = status_to_json(&status, 65536);
    assert_int_equal(json_array_size(json_object_get(o, "next")), 0);
    assert_true(json_is_null(json_object_get(o, "groups_age_usec")));
    json_decref(o);
    status.walk_usec = 300;
    status.hooks_dropped = 3;
    status.next_count = 2;
    status.next[0] = (struct status_next){.action = "reclaim", .why = "there is no swap"};
    status.next[1] = (struct status_next){.action = "kill",
                                          .path = "w/a",
                                          .pid = 9,
                                          .comm = "x",
                                          .class_name = "batch",
                                          .expected_bytes = 5,
                                          .why = "caf\xe9"};
    o = status_to_json(&status, 65536);
    assert_int_equal(number(o, "groups_age_usec"), 50);
    assert_int_equal(number(json_object_get(o, "counters"), "hooks_dropped"), 3);
    a = json_object_get(o, "next");
    n = json_array_get(a, 0);
    assert_true(json_is_null(json_object_get(n, "group")));
    assert_null(json_object_get(n, "class"));
    assert_string_equal(text(n, "why"), "there is no swap");
    n = json_array_get(a, 1);
    assert_string_equal(text(n, "group"), "w/a#9 x");
    assert_string_equal(text(n, "class"), "batch");
    assert_int_equal(number(n, "expected_bytes"), 5);
    assert_string_equal(text(n, "why"), "(not UTF-8)");
    json_decref(o);
}

/* As long as each name can be, and of bytes that take most: it still fits into a reply. */
static void test_longest(void **state _unused_)
{
    char path[GROUP_PATH_MAX] = "";
    json_t *o;

    fill();
    memset(path, '\x02', sizeof(path) - 1);
    status.has_look = true;
    snapshot.workload_count = SNAPSHOT_WORKLOADS_MAX;
    for (unsigned i = 0; i < SNAPSHOT_WORKLOADS_MAX; i++)
        memcpy(snapshot.workloads[i].path, path, sizeof(path));
    status.next_count = STATUS_NEXT_MAX;
    for (unsigned i = 0; i < STATUS_NEXT_MAX; i++) {
        status.next[i] =
            (struct status_next){.action = "kill", .path = path, .pid = 1, .comm = "\x02", .class_name = "c"};
        memset(status.next[i].why, 'w', STATUS_WHY_MAX - 1);
    }
    status.warning_count = STATUS_WARNINGS_MAX;
    for (unsigned i = 0; i < STATUS_WARNINGS_MAX; i++)
        memcpy(status.warnings[i], path, sizeof(path));
    status.qos.kept = true;
    status.swap_count = CONFIG_CLASSES_MAX;
    for (unsigned i = 0; i < CONFIG_CLASSES_MAX; i++)
        status.swap[i] =
            (struct status_swap){"a class whose name is a long one", INT64_MAX, INT64_MAX, INT64_MAX};
    o = status_to_json(&status, 65536);
    assert_true(json_dumpb(o, NULL, 0, JSON_COMPACT) < 64000);
    json_decref(o);
    status.offload_on = true;
    status.offload_count = STATUS_OFFLOAD_MAX;
    for (unsigned i = 0; i < STATUS_OFFLOAD_MAX; i++) {
        memset(&status.offload[i], 0x7f, sizeof(status.offload[i]));
        status.offload[i].path = path;
        status.offload[i].class_name = status.offload[i].why = status.offload[i].why_text = "as it were";
    }
    o = status_to_json(&status, 65536);
    assert_true(json_dumpb(o, NULL, 0, JSON_COMPACT) < 65000);
    assert_true(json_array_size(json_object_get(json_object_get(o, "offload"), "most")) < STATUS_OFFLOAD_MAX);
    json_decref(o);
}

static void test_swap_written(void **state _unused_)
{
    json_t *o, *a;

    fill();
    status.qos.kept = true;
    status.swap_count = 2;
    status.swap[0] = (struct status_swap){"web", 70, 60, 1048576};
    status.swap[1] = (struct status_swap){"batch", 0, 0, UINT64_MAX};
    o = status_to_json(&status, 65536);
    a = json_object_get(json_object_get(o, "qos"), "classes");
    assert_int_equal(json_array_size(a), 2);
    assert_int_equal(number(json_array_get(a, 0), "swap_written_bytes"), 70);
    assert_int_equal(number(json_array_get(a, 0), "last_minute_bytes"), 60);
    assert_int_equal(number(json_array_get(a, 0), "limit_bytes_per_second"), 1048576);
    assert_true(json_is_null(json_object_get(json_array_get(a, 1), "limit_bytes_per_second")));
    json_decref(o);
}

static void test_offload(void **state _unused_)
{
    json_t *o, *row;

    fill();
    o = status_to_json(&status, 65536);
    assert_null(json_object_get(o, "offload"));
    json_decref(o);
    status.offload_on = true;
    status.offload_groups = 3;
    status.offload_saved_bytes = 70;
    status.offload_count = 2;
    status.offload[0] = (struct status_offload){.path = "w/a",
                                                .class_name = "web",
                                                .why = "cap",
                                                .why_text = "x",
                                                .edge_bytes = 0,
                                                .saved_bytes = 60};
    status.offload[1] = (struct status_offload){
        .path = "w/b", .class_name = "web", .why = "edge", .why_text = "y", .edge_bytes = 5};
    o = status_to_json(&status, 65536);
    assert_int_equal(number(json_object_get(o, "offload"), "groups"), 3);
    assert_int_equal(number(json_object_get(o, "offload"), "saved_bytes"), 70);
    row = json_array_get(json_object_get(json_object_get(o, "offload"), "most"), 0);
    assert_string_equal(text(row, "group"), "w/a");
    assert_true(json_is_null(json_object_get(row, "needs_bytes")));
    row = json_array_get(json_object_get(json_object_get(o, "offload"), "most"), 1);
    assert_int_equal(number(row, "needs_bytes"), 5);
    assert_string_equal(text(row, "why"), "edge");
    json_decref(o);
}

static void test_hold(void **state _unused_)
{
    json_t *o;

    fill();
    for (uint64_t until = 0; until < 360; until += 50) {
        status.hold_until_usec = until;
        o = status_to_json(&status, 65536);
        assert_true(json_is_null(json_object_get(o, "hold_left_usec")));
        json_decref(o);
    }
    status.hold_until_usec = 351;
    o = status_to_json(&status, 65536);
    assert_int_equal(number(o, "hold_left_usec"), 1);
    json_decref(o);
}

/* Names of cgroups are bytes. */
static void test_not_utf8(void **state _unused_)
{
    json_t *o, *w;

    fill();
    status.has_look = true;
    snapshot.workload_count = 1;
    (void)strcpy(snapshot.workloads[0].path, "caf\xe9");
    status.warning_count = 2;
    (void)strcpy(status.warnings[0], "caf\xe9 is not there");
    (void)strcpy(status.warnings[1], "caf\xc3\xa9");
    o = status_to_json(&status, 65536);
    w = json_array_get(json_object_get(o, "workloads"), 0);
    assert_string_equal(json_string_value(json_object_get(w, "path")), "(not UTF-8)");
    w = json_object_get(o, "warnings"); /* none is lost */
    assert_int_equal(json_array_size(w), 2);
    assert_string_equal(json_string_value(json_array_get(w, 1)), "caf\xc3\xa9");
    json_decref(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_the_first_look),
        cmocka_unit_test(test_after_a_look),
        cmocka_unit_test(test_decision),
        cmocka_unit_test(test_decision_to_pause),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_pauses_left_out),
        cmocka_unit_test(test_next),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_swap_written),
        cmocka_unit_test(test_offload),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_not_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
