/* memory.reclaim over plain files: what a write brings is said by the function that is asked before the next
 * one. */
#include "fixture.h"

#include "base/units.h"
#include "kernel/reclaim.h"

struct node {
    const struct fixture *f;
    uint64_t current;
    uint64_t gives;        /* how much each chunk brings */
    uint64_t grows;        /* and how much the group takes meanwhile */
    uint64_t stolen_pages; /* pgsteal of memory.stat so far, where it is kept */
    uint64_t queues;       /* how much each chunk puts on the way to a slow device */
    uint64_t leaving;      /* and what is on it */
    bool has_stat;
    unsigned calls;
    unsigned stop_at; /* 0: never */
    int stop_with;
    char last[64]; /* what was written */
};

static void write_u64(const struct fixture *f, const char *name, uint64_t value)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%ju\n", (uintmax_t)value);
    fixture_write(f, name, text);
}

static void write_stat(struct node *n)
{
    uintmax_t on_lists = n->leaving + 1;
    char text[192];

    if (!n->has_stat)
        return;
    (void)snprintf(
        text, sizeof(text),
        "anon 1\nfile 1\nshmem 0\nfile_writeback %ju\nswapcached %ju\ninactive_anon %ju\npgsteal %ju\n",
        (uintmax_t)n->leaving, (uintmax_t)n->leaving, on_lists, (uintmax_t)n->stolen_pages);
    fixture_write(n->f, "memory.stat", text);
}

static void node_init(struct node *n, const struct fixture *f, uint64_t current)
{
    *n = (struct node){.f = f, .current = current};
    fixture_write(f, "cgroup.procs", "");
    fixture_write(f, "memory.reclaim", "");
    write_u64(f, "memory.current", current);
}

static int go(void *user)
{
    struct node *n = user;

    (void)fixture_read(n->f->fd, "memory.reclaim", n->last, sizeof(n->last));
    if (n->calls++ > 0) {
        n->current = u64_sub_floor(n->current, n->gives) + n->grows;
        n->stolen_pages += n->gives / 4096;
        n->leaving += n->queues;
        write_u64(n->f, "memory.current", n->current);
        write_stat(n);
    }
    return n->stop_at > 0 && n->calls >= n->stop_at ? n->stop_with : 0;
}

static int run(struct node *n, uint64_t bytes, struct reclaim_result *ret)
{
    const struct reclaim_request q = {.bytes = bytes, .swappiness = RECLAIM_SWAPPINESS_UNSET};

    return reclaim_run(n->f->fd, &q, go, n, ret);
}

static void test_write(void **state)
{
    const struct fixture *f = *state;
    unsigned swappiness = RECLAIM_SWAPPINESS_UNSET;
    char buf[64];

    assert_int_equal(reclaim_write(f->fd, 4096, &swappiness), -EOPNOTSUPP);
    fixture_write(f, "memory.reclaim", "");
    assert_int_equal(reclaim_write(f->fd, 4096, &swappiness), 0);
    (void)fixture_read(f->fd, "memory.reclaim", buf, sizeof(buf));
    assert_string_equal(buf, "4096");
    swappiness = 0;
    assert_int_equal(reclaim_write(f->fd, 8192, &swappiness), 0);
    (void)fixture_read(f->fd, "memory.reclaim", buf, sizeof(buf));
    assert_string_equal(buf, "8192 swappiness=0");
    assert_int_equal(swappiness, 0);
}

static void test_all_of_it(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 100 * MIB);
    n.gives = RECLAIM_CHUNK_BYTES;
    assert_int_equal(run(&n, 10 * MIB, &done), 0);
    assert_true(done.asked_bytes == 10 * MIB);
    assert_true(done.freed_bytes == 3 * RECLAIM_CHUNK_BYTES);
    assert_int_equal(n.calls, 4);
    assert_string_equal(n.last, "2097152"); /* the rest */
}

/* As much comes as goes: memory.current says nothing, pgsteal does. */
static void test_as_much_comes_back(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 100 * MIB);
    n.has_stat = true;
    n.gives = n.grows = RECLAIM_CHUNK_BYTES;
    write_stat(&n);
    assert_int_equal(run(&n, 40 * MIB, &done), 0);
    assert_true(done.asked_bytes == 40 * MIB);
    assert_int_equal(done.freed_bytes, 0);
    assert_true(done.stolen_bytes == 40 * MIB);
    n.gives = n.grows = 0;
    assert_int_equal(run(&n, 40 * MIB, &done), -EAGAIN); /* nothing is reclaimed any more */
    assert_int_equal(done.stolen_bytes, 0);
}

/* What is being written is waited for, not asked for again; and it is no sign that there is nothing more. */
static void test_slow_device(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 300 * MIB);
    n.has_stat = true;
    n.leaving = 50 * MIB; /* was there before: not of this request */
    n.queues = 30 * MIB;
    write_stat(&n);
    assert_int_equal(run(&n, 64 * MIB, &done), 0);
    assert_true(done.asked_bytes == 3 * RECLAIM_CHUNK_BYTES);
    assert_int_equal(n.calls, 4);
    n.calls = 0;
    n.queues = MIB; /* as fast as it is asked for */
    assert_int_equal(run(&n, 20 * MIB, &done), 0);
    assert_true(done.asked_bytes == 20 * MIB);
}

/* What one write brings beyond what was asked is not asked for again. */
static void test_more_than_asked(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 100 * MIB);
    n.gives = 9 * MIB;
    assert_int_equal(run(&n, 10 * MIB, &done), 0);
    assert_int_equal(n.calls, 3);
    assert_string_equal(n.last, "1048576");
    assert_true(done.freed_bytes == 18 * MIB);
}

static void test_protection(void **state)
{
    static const struct {
        const char *min, *low;
        uint64_t asked;
    } table[] = {
        {"0\n", "0\n", 8 * MIB},      {"5242880\n", "0\n", 3 * MIB}, {"0\n", "6291456\n", 2 * MIB},
        {"7340032\n", "4096\n", MIB}, {"8388608\n", "0\n", 0},       {"max\n", "0\n", 0},
        {"0\n", "8388607\n", 0},      {"garbage\n", "0\n", 8 * MIB},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct reclaim_result done;
        struct node n;

        node_init(&n, *state, 8 * MIB);
        fixture_write(n.f, "memory.min", table[i].min);
        fixture_write(n.f, "memory.low", table[i].low);
        n.gives = RECLAIM_CHUNK_BYTES;
        assert_int_equal(run(&n, 64 * MIB, &done), 0);
        assert_true(done.asked_bytes == table[i].asked);
    }
}

/* Protection that is raised while it goes on counts from the next chunk on. */
static int protect_then_go(void *user)
{
    struct node *n = user;

    if (n->calls == 1)
        write_u64(n->f, "memory.low", 90 * MIB);
    return go(n);
}

static void test_protection_meanwhile(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 92 * MIB);
    n.gives = 3 * MIB;
    assert_int_equal(
        reclaim_run(n.f->fd,
                    &(struct reclaim_request){.bytes = 50 * MIB, .swappiness = RECLAIM_SWAPPINESS_UNSET},
                    protect_then_go, &n, &done),
        0);
    assert_true(done.asked_bytes == RECLAIM_CHUNK_BYTES);
}

/* A kernel that says yes and does nothing, or a group that has nothing more. */
static void test_nothing_comes(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 100 * MIB);
    assert_int_equal(run(&n, UINT64_MAX, &done), -EAGAIN);
    assert_true(done.freed_bytes == 0);
    assert_int_equal(n.calls, 4);
    /* Nor where it grows faster than it is taken from. */
    node_init(&n, *state, 100 * MIB);
    n.gives = MIB;
    n.grows = 2 * MIB;
    assert_int_equal(run(&n, UINT64_MAX, &done), -EAGAIN);
    assert_true(done.freed_bytes == 0);
}

/* However the group grows: never more than was said. */
static void test_bounded(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 100 * MIB);
    n.gives = n.grows = RECLAIM_CHUNK_BYTES / 2;
    n.gives += RECLAIM_CHUNK_BYTES / 4;
    assert_int_equal(run(&n, 20 * MIB, &done), 0);
    assert_true(done.asked_bytes == 20 * MIB);
}

static void test_stopped(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 100 * MIB);
    n.gives = RECLAIM_CHUNK_BYTES;
    n.stop_at = 3;
    n.stop_with = -ETIMEDOUT;
    assert_int_equal(run(&n, 50 * MIB, &done), -ETIMEDOUT);
    assert_true(done.freed_bytes == 2 * RECLAIM_CHUNK_BYTES);
    assert_true(done.asked_bytes == 2 * RECLAIM_CHUNK_BYTES);
    node_init(&n, *state, 100 * MIB);
    n.stop_at = 1;
    n.stop_with = -ECANCELED;
    assert_int_equal(run(&n, 50 * MIB, &done), -ECANCELED);
    assert_string_equal(n.last, ""); /* nothing was written */
}

static void test_swap_is_told_apart(void **state)
{
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 100 * MIB);
    fixture_write(n.f, "memory.swap.current", "1048576\n");
    assert_int_equal(run(&n, 0, &done), 0);
    assert_true(done.swapped_bytes == 0 && done.freed_bytes == 0 && done.asked_bytes == 0);
    assert_string_equal(n.last, "");
}

static void test_pieces(void **state)
{
    struct reclaim_request q = {
        .bytes = MIB, .chunk_bytes = 256 * KIB, .swappiness = RECLAIM_SWAPPINESS_UNSET};
    struct reclaim_result done;
    struct node n;

    node_init(&n, *state, 100 * MIB);
    n.gives = 256 * KIB;
    assert_int_equal(reclaim_run(n.f->fd, &q, go, &n, &done), 0);
    assert_true(done.asked_bytes == MIB && n.calls == 5);
    assert_string_equal(n.last, "262144");
    n.calls = 0;
    n.gives = 512 * KIB; /* the kernel takes more than it is asked for: fewer of them */
    assert_int_equal(reclaim_run(n.f->fd, &q, go, &n, &done), 0);
    assert_true(done.freed_bytes == MIB && n.calls == 3);
}

static void test_missing(void **state)
{
    const struct reclaim_request q = {.bytes = MIB, .swappiness = RECLAIM_SWAPPINESS_UNSET};
    struct reclaim_result done = {1, 1, 1};
    const struct fixture *f = *state;

    assert_int_equal(reclaim_run(f->fd, &q, NULL, NULL, &done), -ENODEV);
    assert_true(done.asked_bytes == 0 && done.freed_bytes == 0 && done.swapped_bytes == 0);
    fixture_write(f, "cgroup.procs", "");
    assert_int_equal(reclaim_run(f->fd, &q, NULL, NULL, &done), -EOPNOTSUPP);
    fixture_write(f, "memory.reclaim", "");
    assert_int_equal(reclaim_run(f->fd, &q, NULL, NULL, &done), -ENOENT);
    fixture_write(f, "memory.current", "no number\n");
    assert_int_equal(reclaim_run(f->fd, &q, NULL, NULL, &done), -EBADMSG);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_write),
        TEST(test_all_of_it),
        TEST(test_more_than_asked),
        TEST(test_as_much_comes_back),
        TEST(test_slow_device),
        TEST(test_protection),
        TEST(test_protection_meanwhile),
        TEST(test_nothing_comes),
        TEST(test_bounded),
        TEST(test_stopped),
        TEST(test_swap_is_told_apart),
        TEST(test_pieces),
        TEST(test_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
