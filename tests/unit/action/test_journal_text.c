/* The journal as text: what a crash, a full disk or somebody's editor may have left. */
#include "../kernel/fixture.h"

#include "action/journal.h"

#define BOOT "0d7c8f54-1111-4222-8333-944445555666"
#define HEAD "headroom-journal 1 " BOOT "\n"

static struct lease_table table;

static unsigned parse_bytes(const char *text, size_t length)
{
    char *copy = malloc(length ? length : 1); /* of exactly this size: a sanitizer sees a read behind it */
    unsigned bad = 77;

    assert_non_null(copy);
    memcpy(copy, text, length);
    journal_parse(copy, length, BOOT, &table, &bad);
    free(copy);
    return bad;
}

static unsigned parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

static unsigned used(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < JOURNAL_LEASES_MAX; i++)
        n += table.leases[i].used;
    return n;
}

static void test_leases(void **state _unused_)
{
    struct lease *l;

    assert_int_equal(parse(HEAD "lease id=7 knob=memory.high was=max ours=4096 path=a.slice/b c\n"
                                "lease id=7 knob=memory.low was=0 ours=8192 path=a.slice/b c\n"
                                "lease id=7 knob=memory.high was=max ours=12288 path=a.slice/b c\n"),
                     0);
    assert_int_equal(used(), 2);
    l = lease_find(&table, 7, "memory.high");
    assert_non_null(l);
    assert_true(l->was == UINT64_MAX && l->ours == 12288 && l->ours_before == 4096);
    assert_string_equal(l->path, "a.slice/b c");
    l = lease_find(&table, 7, "memory.low");
    assert_non_null(l);
    assert_true(l->was == 0 && l->ours == 8192 && l->ours_before == 8192);
    assert_null(lease_find(&table, 8, "memory.high"));
    assert_null(lease_find(&table, 7, "memory.max"));
}

static void test_drift_fields(void **state _unused_)
{
    assert_int_equal(parse(HEAD
                           "lease id=7 knob=memory.high was=max ours=1 drift=reapplied path= drift=yielded\n"
                           "lease id=8 knob=memory.high was=max ours=1 drift=yielded path=a\n"),
                     0);
    assert_int_equal(lease_find(&table, 7, "memory.high")->drift, LEASE_REAPPLIED);
    assert_string_equal(lease_find(&table, 7, "memory.high")->path, " drift=yielded");
    assert_true(lease_is_ours(lease_find(&table, 7, "memory.high"), 1));
    assert_int_equal(lease_find(&table, 8, "memory.high")->drift, LEASE_YIELDED);
    assert_false(lease_is_ours(lease_find(&table, 8, "memory.high"), 1));
    assert_int_equal(parse(HEAD "lease id=7 knob=memory.high was=max ours=1 drift=fought path=a\n"
                                "lease id=7 knob=memory.high was=max ours=1 drift= path=a\n"
                                "release id=7 knob=memory.high drift=yielded path=a\n"),
                     3);
    assert_int_equal(used(), 0);
}

static void test_releases(void **state _unused_)
{
    assert_int_equal(parse(HEAD "lease id=7 knob=memory.high was=max ours=4096 path=a\n"
                                "release id=7 knob=memory.high path=a\n"),
                     0);
    assert_int_equal(used(), 0);
    /* Of what was never taken. */
    assert_int_equal(parse(HEAD "release id=9 knob=memory.high path=a\n"), 0);
    assert_int_equal(used(), 0);
    /* Taken anew after a release: the value before the release is not ours any more. */
    assert_int_equal(parse(HEAD "lease id=7 knob=memory.high was=max ours=4096 path=a\n"
                                "release id=7 knob=memory.high path=a\n"
                                "lease id=7 knob=memory.high was=max ours=8192 path=a\n"),
                     0);
    assert_true(lease_find(&table, 7, "memory.high")->ours_before == 8192);
}

static void test_other_boot(void **state _unused_)
{
    assert_int_equal(parse("headroom-journal 1 another\nlease id=7 knob=memory.high was=max ours=1 path=a\n"),
                     0);
    assert_int_equal(used(), 0);
    assert_int_equal(parse("headroom-journal 1\nlease id=7 knob=memory.high was=max ours=1 path=a\n"), 0);
    assert_int_equal(used(), 0);
}

static void test_other_format(void **state _unused_)
{
    static const char *const heads[] = {
        "headroom-journal 2 " BOOT "\n",
        "headroom-journal\n",
        "journal 1 " BOOT "\n",
        "\n",
        "lease id=7 knob=memory.high was=max ours=1 path=a\n",
    };

    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        char text[256];

        (void)snprintf(text, sizeof(text), "%slease id=7 knob=memory.high was=max ours=1 path=a\n", heads[i]);
        assert_int_equal(parse(text), 1);
        assert_int_equal(used(), 0);
    }
    assert_int_equal(parse(""), 0);
    assert_int_equal(used(), 0);
}

static void test_bad_lines(void **state _unused_)
{
    static const char *const lines[] = {
        "garbage",
        "lease",
        "leases id=7 knob=memory.high was=max ours=1 path=a",
        "lease id=7",
        "lease id= knob=memory.high was=max ours=1 path=a",
        "lease id=-1 knob=memory.high was=max ours=1 path=a",
        "lease id=18446744073709551616 knob=memory.high was=max ours=1 path=a", /* over 64 bits */
        "lease id=7 knob=memory.high was= ours=1 path=a",
        "lease id=7 knob=memory.high was=1e3 ours=1 path=a",
        "lease id=7 knob=memory.high ours=1 was=max path=a", /* another order */
        "lease id=7 knob=memory.high was=max ours=1",
        "lease id=7 knob=memory.high was=max ours=1 pat=a",
        "lease id=7 knob=a-knob-with-a-name-that-does-not-fit was=max ours=1 path=a",
        "lease id=7 knob= was=max ours=1 path=a",
        "lease id=7 knob=../memory.high was=max ours=1 path=a", /* a file of the cgroup, and no other */
        "lease id=7 knob=/etc/passwd was=max ours=1 path=a",
        "lease id=7 knob=SIGSTOP was=0 ours=1 path=a", /* whom? */
        "lease id=7 knob=SIGSTOP: was=0 ours=1 path=a",
        "lease id=7 knob=SIGSTOP:0 was=0 ours=1 path=a",
        "lease id=7 knob=SIGSTOP:-1 was=0 ours=1 path=a",
        "lease id=7 knob=SIGSTOP:012 was=0 ours=1 path=a",
        "lease id=7 knob=SIGSTOP:2147483648 was=0 ours=1 path=a",
        "lease id=7 knob=SIGSTOP:12x was=0 ours=1 path=a",
        "lease id=7 knob=SIGSTOPPED was=0 ours=1 path=a",
        "lease id=7 knob=SIGSTOP:12 was=1 ours=1 path=a", /* undoing it would stop somebody */
        "lease id=7 knob=SIGSTOP:12 was=0 ours=0 path=a",
        "lease id=7 knob=cgroup.freeze was=1 ours=1 path=a",
        "lease id=7 knob=cgroup.freeze was=0 ours=max path=a",
        "lease id=7 knob=cgroup.freeze was=1 ours=0 path=a",
        "release id=7 knob=SIGSTOP:0 path=a",
        "release id=7",
        "release id=x knob=memory.high path=a",
    };

    for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
        char text[512];

        (void)snprintf(text, sizeof(text), "%slease id=3 knob=memory.low was=0 ours=1 path=b\n%s\n\n", HEAD,
                       lines[i]);
        if (parse(text) != 1)
            fail_msg("not counted as bad: %s", lines[i]);
        assert_int_equal(used(), 1);
        assert_non_null(lease_find(&table, 3, "memory.low"));
    }
}

static void test_long_path(void **state _unused_)
{
    char text[1024], path[JOURNAL_PATH_MAX + 1];

    memset(path, 'p', sizeof(path));
    path[JOURNAL_PATH_MAX - 1] = '\0';
    (void)snprintf(text, sizeof(text), "%slease id=3 knob=memory.low was=0 ours=1 path=%s\n", HEAD, path);
    assert_int_equal(parse(text), 0);
    assert_string_equal(table.leases[0].path, path);
    path[JOURNAL_PATH_MAX - 1] = 'p';
    path[JOURNAL_PATH_MAX] = '\0';
    (void)snprintf(text, sizeof(text), "%slease id=3 knob=memory.low was=0 ours=1 path=%s\n", HEAD, path);
    assert_int_equal(parse(text), 1);
    assert_int_equal(used(), 0);
}

static void test_path_with_blanks(void **state _unused_)
{
    assert_int_equal(parse(HEAD "lease id=3 knob=memory.low was=0 ours=1 path= a \n"), 0);
    assert_string_equal(table.leases[0].path, " a ");
}

static void test_pauses(void **state _unused_)
{
    const struct lease *l;

    assert_int_equal(parse(HEAD "lease id=7 knob=cgroup.freeze was=0 ours=1 path=a\n"
                                "lease id=7 knob=SIGSTOP:2147483647 was=0 ours=1 path=\n"
                                "lease id=7 knob=SIGSTOP:12 was=0 ours=1 path=a\n"
                                "lease id=7 knob=memory.high was=max ours=1 path=a\n"
                                "release id=7 knob=SIGSTOP:12 path=a\n"
                                "lease id=7 knob=memory.high was=max ours=2 path=a\n"),
                     0);
    assert_int_equal(used(), 3);
    l = lease_next(&table, NULL);
    assert_true(lease_is_pause(l) && lease_pid(l) == 0);
    l = lease_next(&table, l);
    assert_true(lease_is_pause(l) && lease_pid(l) == 2147483647);
    assert_string_equal(l->path, "");
    l = lease_next(&table, l);
    assert_false(lease_is_pause(l));
    assert_true(l->ours_before == 1);
    assert_null(lease_next(&table, l));
}

static void test_huge_ids(void **state _unused_)
{
    assert_int_equal(parse(HEAD
                           "lease id=18446744073709551615 knob=memory.high was=max ours=18446744073709551615 "
                           "path=a\nlease id=0 knob=memory.high was=0 ours=0 path=b\n"),
                     0);
    assert_int_equal(used(), 2);
    assert_non_null(lease_find(&table, UINT64_MAX, "memory.high"));
    assert_non_null(lease_find(&table, 0, "memory.high"));
}

static void test_more_than_fit(void **state _unused_)
{
    static char text[JOURNAL_LEASES_MAX * 80 + 512];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", HEAD);

    for (unsigned i = 0; i < JOURNAL_LEASES_MAX + 3; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "lease id=%u knob=memory.high was=max ours=1 path=g%u\n", i + 1, i);
    assert_int_equal(parse(text), 3);
    assert_int_equal(used(), JOURNAL_LEASES_MAX);
    assert_null(lease_add(&table));
    table.leases[5].used = false;
    assert_ptr_equal(lease_add(&table), &table.leases[5]);
}

/* Storage of the caller's for those beyond, which is looked at as far as it has been filled. */
static void test_more_places(void **state _unused_)
{
    static char text[(JOURNAL_LEASES_MAX + 5) * 80];
    static struct lease more[4];
    size_t n = (size_t)snprintf(text, sizeof(text), "%s", HEAD);

    table.more = more;
    table.more_count = ARRAY_SIZE(more);
    for (unsigned i = 0; i < JOURNAL_LEASES_MAX + 5; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "lease id=%u knob=memory.high was=max ours=1 path=g%u\n", i + 1, i);
    assert_int_equal(parse(text), 1);
    assert_int_equal(lease_table_size(&table), JOURNAL_LEASES_MAX + 4);
    assert_ptr_equal(lease_find(&table, JOURNAL_LEASES_MAX + 4, "memory.high"), &more[3]);
    assert_null(lease_find(&table, JOURNAL_LEASES_MAX + 5, "memory.high"));
    assert_null(lease_add(&table));
    assert_ptr_equal(lease_next(&table, &more[2]), &more[3]);
    assert_null(lease_next(&table, &more[3]));
    more[1].used = false;
    assert_ptr_equal(lease_add(&table), &more[1]);
    assert_ptr_equal(lease_next(&table, &more[3]), &more[1]); /* the latest */
    assert_int_equal(parse(HEAD), 0);                         /* another reading forgets those, too */
    assert_int_equal(lease_table_size(&table), 0);
    assert_null(lease_next(&table, NULL));
    table.more = NULL;
    table.more_count = 0;
}

static void test_scores(void **state _unused_)
{
    assert_int_equal(parse(HEAD "lease id=7 knob=oom_score_adj:101 was=0 ours=2000 path=a\n"
                                "lease id=8 knob=oom_score_adj:4194304 was=1000 ours=1 path=b\n"),
                     0);
    assert_int_equal(lease_score_pid(&table.leases[0]), 101);
    assert_int_equal(lease_score_pid(&table.leases[1]), 4194304);
    assert_int_equal(lease_pid(&table.leases[0]), 0);
    assert_false(lease_is_pause(&table.leases[0]));
    /* Nothing but a score of a process is ever written to one. */
    assert_int_equal(parse(HEAD "lease id=7 knob=oom_score_adj was=0 ours=1 path=a\n"
                                "lease id=7 knob=oom_score_adj: was=0 ours=1 path=a\n"
                                "lease id=7 knob=oom_score_adj:0 was=0 ours=1 path=a\n"
                                "lease id=7 knob=oom_score_adj:07 was=0 ours=1 path=a\n"
                                "lease id=7 knob=oom_score_adj:-7 was=0 ours=1 path=a\n"
                                "lease id=7 knob=oom_score_adj:2147483648 was=0 ours=1 path=a\n"
                                "lease id=7 knob=oom_score_adj:7 was=2001 ours=1 path=a\n"
                                "lease id=7 knob=oom_score_adj:7 was=1 ours=max path=a\n"),
                     8);
    assert_int_equal(used(), 0);
}

/* Cut at every byte: all whole lines count, the torn one does not, and nothing behind the end is read. */
static void test_cut_everywhere(void **state _unused_)
{
    static const char text[] = HEAD "lease id=7 knob=memory.high was=max ours=4096 path=a\n"
                                    "lease id=7 knob=memory.high was=max ours=8192 path=a\n"
                                    "release id=7 knob=memory.high path=a\n";
    const char *first = strchr(text, '\n') + 1, *second = strchr(first, '\n') + 1,
               *third = strchr(second, '\n') + 1;

    for (const char *end = text; end <= text + sizeof(text) - 1; end++) {
        const struct lease *l;

        assert_int_equal(parse_bytes(text, (size_t)(end - text)), 0);
        l = lease_find(&table, 7, "memory.high");
        if (end < second || end == text + sizeof(text) - 1)
            assert_null(l);
        else
            assert_true(l && l->ours == (end < third ? 4096 : 8192) && l->ours_before == 4096);
    }
}

/* Every byte replaced, doubled and left out: whatever comes out, every lease is whole. */
static void test_every_byte_changed(void **state _unused_)
{
    static const char text[] = HEAD "lease id=7 knob=memory.high was=max ours=4096 path=a/b\n"
                                    "lease id=8 knob=memory.low was=0 ours=8192 path=c\n"
                                    "lease id=8 knob=cgroup.freeze was=0 ours=1 path=c\n"
                                    "lease id=9 knob=SIGSTOP:77 was=0 ours=1 path=c\n";
    static const char replacements[] = {'\0', '\n', '\r', ' ', '-', '9', '=', '/', '\xff'};
    char copy[sizeof(text) + 1];
    size_t length = sizeof(text) - 1;

    for (size_t at = 0; at < length; at++)
        for (size_t i = 0; i < ARRAY_SIZE(replacements) + 2; i++) {
            size_t n = length;

            memcpy(copy, text, length);
            if (i < ARRAY_SIZE(replacements)) {
                copy[at] = replacements[i];
            } else if (i == ARRAY_SIZE(replacements)) {
                memmove(copy + at, copy + at + 1, length - at - 1);
                n--;
            } else {
                memmove(copy + at + 1, text + at, length - at);
                n++;
            }
            assert_in_range(parse_bytes(copy, n), 0, 6);
            for (unsigned k = 0; k < JOURNAL_LEASES_MAX; k++) {
                if (!table.leases[k].used)
                    continue;
                assert_non_null(memchr(table.leases[k].path, 0, JOURNAL_PATH_MAX));
                assert_non_null(memchr(table.leases[k].knob, 0, JOURNAL_KNOB_MAX));
                assert_null(strchr(table.leases[k].knob, '/'));
                if (lease_is_pause(&table.leases[k]))
                    assert_true(table.leases[k].was == 0 && table.leases[k].ours == 1);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_drift_fields),
        cmocka_unit_test(test_releases),
        cmocka_unit_test(test_other_boot),
        cmocka_unit_test(test_other_format),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_path_with_blanks),
        cmocka_unit_test(test_pauses),
        cmocka_unit_test(test_huge_ids),
        cmocka_unit_test(test_more_than_fit),
        cmocka_unit_test(test_more_places),
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_cut_everywhere),
        cmocka_unit_test(test_every_byte_changed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
