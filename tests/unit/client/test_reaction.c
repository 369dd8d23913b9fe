#include "client.h"

static struct stage s;
static char calls[32];
static enum headroom_level last;

static int setup(void **state unused_)
{
    stage_init(&s);
    calls[0] = '\0';
    return 0;
}

static int teardown(void **state unused_)
{
    stage_deinit(&s);
    return 0;
}

static void note(void *user, enum headroom_level level)
{
    size_t n = strlen(calls);

    assert_true(n + 1 < sizeof(calls));
    calls[n] = *(const char *)user;
    calls[n + 1] = '\0';
    last = level;
}

static struct headroom_watch *off(void)
{
    struct headroom_options o = {.size = sizeof(o), .path = "/dev/null"};
    struct headroom_watch *w = NULL;

    assert_int_equal(headroom_watch_new(&o, &w), 0);
    return w;
}

static void test_order_of_cost(void **state unused_)
{
    static const struct {
        enum headroom_level level;
        const char *calls;
    } cases[] = {
        {HEADROOM_CALM, "0"},
        {HEADROOM_LOW, "0lLt"},
        {HEADROOM_MEDIUM, "0lLmt"},
        {HEADROOM_CRITICAL, "0lLmct"},
    };
    struct headroom_watch *w = off();

    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, HEADROOM_COST_LAST, note, (void *)"t"), 0);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_CRITICAL, 100, note, (void *)"c"), 0);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, 5, note, (void *)"l"), 0);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_MEDIUM, 10, note, (void *)"m"), 0);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_CALM, 0, note, (void *)"0"), 0);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, 5, note, (void *)"L"), 0);
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        calls[0] = '\0';
        assert_int_equal(headroom_watch_react(w, cases[i].level), strlen(cases[i].calls));
        assert_string_equal(calls, cases[i].calls);
        assert_int_equal(last, cases[i].level);
    }
    (void)headroom_watch_free(w);
}

static void test_dispatch(void **state unused_)
{
    const char *path = stage_path(&s, "/s");
    struct headroom_options o = {.size = sizeof(o), .path = path, .hold_usec = 200000};
    int listener = listen_at(path), server;
    struct headroom_watch *w = NULL;

    assert_int_equal(headroom_watch_new(&o, &w), 0);
    server = accept_one(listener, SECOND);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_CALM, 0, note, (void *)"0"), 0);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_MEDIUM, 1, note, (void *)"m"), 0);
    assert_int_equal(headroom_watch_dispatch(w), 0);
    assert_string_equal(calls, "");
    tell(server, "l");
    assert_true(wait_readable(headroom_watch_get_fd(w), 5 * SECOND));
    assert_int_equal(headroom_watch_dispatch(w), 1);
    assert_string_equal(calls, "0");
    assert_int_equal(last, HEADROOM_LOW);
    /* What opens and closes again tells of it, too. */
    while (last != HEADROOM_CALM) {
        assert_true(wait_readable(headroom_watch_get_fd(w), 5 * SECOND));
        assert_true(headroom_watch_dispatch(w) >= 0);
    }
    assert_string_equal(calls, "00");
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

static void add_more(void *user, enum headroom_level level)
{
    note((void *)"a", level);
    for (int i = 0; i < 20; i++)
        assert_int_equal(headroom_watch_add_reaction(user, HEADROOM_CRITICAL, 1000, note, (void *)"c"), 0);
}

static void test_reaction_adds_one(void **state unused_)
{
    struct headroom_watch *w = off();

    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, 0, add_more, w), 0);
    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, 1, note, (void *)"b"), 0);
    assert_int_equal(headroom_watch_react(w, HEADROOM_LOW), 2);
    assert_string_equal(calls, "ab");
    (void)headroom_watch_free(w);
}

static void test_refusals(void **state unused_)
{
    struct headroom_watch *w = off();

    assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, 0, NULL, NULL), -EINVAL);
    assert_int_equal(headroom_watch_add_reaction(w, (enum headroom_level)4, 0, note, NULL), -EINVAL);
    assert_int_equal(headroom_watch_react(w, (enum headroom_level)4), -EINVAL);
    assert_int_equal(headroom_watch_react(w, HEADROOM_CRITICAL), 0);
    (void)headroom_watch_free(w);
}

static void test_names(void **state unused_)
{
    assert_string_equal(headroom_level_get_name(HEADROOM_CALM), "calm");
    assert_string_equal(headroom_level_get_name(HEADROOM_LOW), "low");
    assert_string_equal(headroom_level_get_name(HEADROOM_MEDIUM), "medium");
    assert_string_equal(headroom_level_get_name(HEADROOM_CRITICAL), "critical");
    assert_null(headroom_level_get_name((enum headroom_level)4));
    assert_null(headroom_level_get_name((enum headroom_level) - 1));
}

static long resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long size, resident;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &size, &resident), 2);
    (void)fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

/* A sanitizer's or valgrind's, which malloc_trim knows nothing of. */
static bool is_other_malloc(void)
{
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded && strstr(preloaded, "valgrind");
#endif
}

/* What free keeps between blocks that are in use goes back to the system. */
static void test_trim(void **state unused_)
{
    enum { BLOCKS = 8192, SIZE = 4000 };
    static void *blocks[BLOCKS];
    long before, after;

    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(SIZE);
        assert_non_null(blocks[i]);
        memset(blocks[i], 1, SIZE);
    }
    for (int i = 0; i < BLOCKS - 1; i++)
        free(blocks[i]);
    before = resident_bytes();
    headroom_reaction_trim(NULL, HEADROOM_LOW);
    after = resident_bytes();
    free(blocks[BLOCKS - 1]);
    if (is_other_malloc())
        skip();
    assert_true(before - after > 16 * 1024 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_of_cost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dispatch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reaction_adds_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_trim),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
