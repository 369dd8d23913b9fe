/* Open, listen, close, over and over: nothing may stay behind. HEADROOM_CYCLES=1000000 is the full count;
 * what is the default takes a few seconds. */
#include "client.h"

#include <malloc.h>

#define CYCLES_DEFAULT 50000

static struct stage s;

static long cycles(void)
{
    const char *text = getenv("HEADROOM_CYCLES");

    return text ? strtol(text, NULL, 10) : CYCLES_DEFAULT;
}

struct footprint {
    unsigned descriptors;
    size_t heap_bytes;   /* in use, exactly */
    long resident_bytes; /* as the kernel counts it: give or take what each CPU has not handed in yet */
};

static struct footprint measure(void)
{
    struct footprint f = {.descriptors = count_descriptors()};
    FILE *file = fopen("/proc/self/statm", "re");
    long size, pages;

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &pages), 2);
    (void)fclose(file);
    f.heap_bytes = mallinfo2().uordblks;
    f.resident_bytes = pages * sysconf(_SC_PAGESIZE);
    return f;
}

/* Every 16th is told something, every 64th has the helper thread, every third is dropped by the server first.
 */
static void cycle(int listener, long i)
{
    struct headroom_watch *w = NULL;
    int server;

    assert_int_equal(watch_new_at(NULL, s.root, &w), 0);
    server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(server >= 0);
    if (i % 64 == 0)
        assert_int_equal(headroom_watch_start_thread(w), 0);
    else if (i % 16 == 0) {
        tell(server, "l");
        assert_int_equal(headroom_watch_read(w, NULL), 1);
        assert_int_equal(headroom_watch_add_reaction(w, HEADROOM_LOW, 0, headroom_reaction_trim, NULL), 0);
    }
    if (i % 3 == 0) {
        (void)close(server);
        server = -1;
        if (i % 64 != 0)
            assert_int_equal(headroom_watch_read(w, NULL), 0);
    }
    (void)headroom_watch_free(w);
    if (server >= 0)
        (void)close(server);
}

static void test_nothing_stays(void **state unused_)
{
    long total = cycles(), warm_up = total / 10 + 1000;
    struct footprint before, after;
    int listener;

    stage_init(&s);
    (void)stage_write(&s, "/run/headroom/x", "");
    listener = listen_at(stage_path(&s, HEADROOM_SOCKET));
    for (long i = 0; i < warm_up; i++)
        cycle(listener, i);
    before = measure();
    for (long i = 0; i < total; i++)
        cycle(listener, i);
    after = measure();
    print_message("%ld cycles: descriptors %u, then %u; heap %zu, then %zu; resident %ld, then %ld\n", total,
                  before.descriptors, after.descriptors, before.heap_bytes, after.heap_bytes,
                  before.resident_bytes, after.resident_bytes);
    assert_int_equal(after.descriptors, before.descriptors);
    /* A sanitizer has a malloc of its own, of which this says 0, and a quarantine that fills; it finds leaks
     * by itself. */
    assert_int_equal(after.heap_bytes, before.heap_bytes);
#ifndef __SANITIZE_ADDRESS__
    if (total >= 10000) /* fewer say nothing, and are for valgrind, which has memory of its own */
        assert_true(after.resident_bytes <= before.resident_bytes + 512 * 1024);
#endif
    (void)close(listener);
    stage_deinit(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
