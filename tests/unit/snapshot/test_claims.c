/* What a group says of itself: the attributes of its cgroup's directory, as values. */
#include "tree.h"

#include <errno.h>
#include <sys/xattr.h>

#include "kernel/cgroup.h"
#include "snapshot/claims.h"

#define OFFSET (1700000000 * USEC_PER_SEC) /* the node was booted then */
#define WORK "workload.slice"

static struct group_claims parse(const char *name, const char *value, bool good)
{
    struct group_claims claims = {0};

    assert_int_equal(claims_parse(name, value, OFFSET, &claims), good);
    return claims;
}

static void test_priority(void **state _unused_)
{
    static const struct {
        const char *text;
        bool good;
        unsigned value;
    } rows[] = {
        {"0", true, 0},    {"1000", true, 1000}, {" 7 \n", true, 7}, {"1001", false, 0},
        {"-1", false, 0},  {"", false, 0},       {"5x", false, 0},   {"18446744073709551616", false, 0},
        {"1e2", false, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct group_claims c = parse("user.headroom.priority", rows[i].text, rows[i].good);

        assert_int_equal(c.has_priority, rows[i].good);
        assert_int_equal(c.priority, rows[i].value);
    }
}

static void test_booleans(void **state _unused_)
{
    static const struct {
        const char *text;
        bool good, value;
    } rows[] = {
        {"yes", true, true},    {"true", true, true},   {"1", true, true},     {"on\n", true, true},
        {"no", true, false},    {"false", true, false}, {"0", true, false},    {"off", true, false},
        {"YES", true, true},    {"False", true, false}, {"oN", true, true},    {" Off ", true, false},
        {"yess", false, false}, {"ye", false, false},   {"noo", false, false}, {"n", false, false},
        {"", false, false},     {"2", false, false},    {"y", false, false},   {"yes no", false, false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct group_claims c = parse("user.headroom.retriable", rows[i].text, rows[i].good);

        assert_int_equal(c.has_retriable, rows[i].good);
        assert_int_equal(c.retriable, rows[i].value);
        c = parse("user.oomd_avoid", rows[i].text, rows[i].value); /* "no" is as if it were not there */
        assert_int_equal(c.avoid, rows[i].value);
        c = parse("user.oomd_omit", rows[i].text, rows[i].value);
        assert_int_equal(c.omit, rows[i].value);
        /* The other way round: only "no" says something. */
        c = parse("user.headroom.pause", rows[i].text, rows[i].good && !rows[i].value);
        assert_int_equal(c.no_pause, rows[i].good && !rows[i].value);
    }
}

static void test_request(void **state _unused_)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } rows[] = {
        {"512M", true, 512 * MIB},
        {"1.5G", true, GIB + 512 * MIB},
        {"0", true, 0},
        {"1048576", true, MIB}, /* as Kubernetes writes a quantity */
        {"512 apples", false, 0},
        {"-1", false, 0},
        {"99999999999T", false, 0},
        {"", false, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct group_claims c = parse("user.headroom.request", rows[i].text, rows[i].good);

        assert_int_equal(c.has_request, rows[i].good);
        assert_true(!rows[i].good || c.request_bytes == rows[i].value);
    }
}

/* Seconds of the epoch, to a hundredth; here they are microseconds since boot. */
static void test_started(void **state _unused_)
{
    static const struct {
        const char *text;
        bool good;
        uint64_t value;
    } rows[] = {
        {"1700000100", true, 100 * USEC_PER_SEC},
        {"1700000100.25", true, 100 * USEC_PER_SEC + 250000},
        {"1600000000", true, 0}, /* before boot */
        {"0", true, 0},
        {"99999999999999999999", false, 0},
        {"999999999999999999", false, 0},
        {"soon", false, 0},
        {"-5", false, 0},
        {"", false, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct group_claims c = parse("user.headroom.started", rows[i].text, rows[i].good);

        assert_int_equal(c.has_started, rows[i].good);
        assert_true(!rows[i].good || c.started_usec == rows[i].value);
    }
}

static void test_task(void **state _unused_)
{
    uint64_t one = parse("user.headroom.task", "train-17", true).task;

    assert_true(one != 0);
    assert_true(parse("user.headroom.task", "train-17\n", true).task == one);
    assert_true(parse("user.headroom.task", "train-18", true).task != one);
    assert_true(parse("user.headroom.task", "", false).task == 0);
    assert_true(parse("user.headroom.task", " \n", false).task == 0);
}

static void test_other_names(void **state _unused_)
{
    static const char *const names[] = {
        "user.headroom.prioritx", "user.headroom.", "",
        "trusted.oomd_omit",      "user.oomd_ooms", "user.headroom.priority "};
    const struct group_claims none = {0};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct group_claims c = parse(names[i], "1", false);

        assert_memory_equal(&c, &none, sizeof(c));
    }
}

/* ---- from a directory ---- */

static int setup(void **state)
{
    struct tree *t;

    if (tree_setup(state) < 0)
        return -1;
    t = *state;
    tree_slice(t, WORK);
    tree_leaf(t, WORK "/a", "101\n", 100 * MIB);
    tree_workload(t, WORK);
    return 0;
}

static bool say(struct tree *t, const char *name, const void *value, size_t size)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/" CGROUP_ROOT "/" WORK "/a", t->f->path);
    return setxattr(path, name, value, size, 0) == 0;
}

static const struct group *walk(struct tree *t)
{
    tree_expect_groups(t, 1000 * USEC_PER_SEC, WORK "/a");
    return &t->groups[0];
}

static void test_read(void **state)
{
    const struct group_claims none = {0};
    struct tree *t = *state;
    const struct group *g;

    tree_open(t, true);
    g = walk(t);
    assert_memory_equal(&g->claims, &none, sizeof(none));
    assert_int_equal(g->owner_uid, getuid());
    if (!say(t, "user.headroom.priority", "20", 2))
        skip(); /* a file system without attributes */
    assert_true(say(t, "user.headroom.retriable", "yes", 3));
    assert_true(say(t, "user.headroom.request", "1G", 2));
    assert_true(say(t, "user.headroom.task", "train", 5));
    assert_true(say(t, "user.oomd_avoid", "1", 1));
    assert_true(say(t, "user.oomd_omit", "0", 1));
    assert_true(say(t, "user.headroom.pause", "yes", 3));
    g = walk(t);
    assert_false(g->claims.no_pause);
    assert_true(say(t, "user.headroom.pause", "no\n", 3));
    g = walk(t);
    assert_true(g->claims.no_pause);
    assert_true(g->claims.has_priority && g->claims.priority == 20);
    assert_true(g->claims.has_retriable && g->claims.retriable);
    assert_true(g->claims.has_request && g->claims.request_bytes == GIB);
    assert_true(g->claims.task != 0 && g->claims.avoid && !g->claims.omit && !g->claims.has_started);
}

/* What is too long, or not text, is as if it were not there; and the next one is read all the same. */
static void test_hostile(void **state)
{
    struct tree *t = *state;
    const struct group *g;
    char large[2000];

    memset(large, '1', sizeof(large));
    tree_open(t, true);
    if (!say(t, "user.headroom.priority", large, sizeof(large)))
        skip();
    assert_true(say(t, "user.headroom.request", "1G\0junk", 7));
    assert_true(say(t, "user.headroom.retriable", "\0yes", 4));
    assert_true(say(t, "user.headroom.started", "\xff\xfe", 2));
    assert_true(say(t, "user.oomd_omit", "yes", 3));
    g = walk(t);
    assert_false(g->claims.has_priority || g->claims.has_retriable || g->claims.has_started);
    assert_true(g->claims.omit);
}

/* A task's name is its owner's: nobody makes up kills for another one's. */
static void test_task_of_an_owner(void **state)
{
    struct tree *t = *state;
    struct group_claims a, b;
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;

    if (!say(t, "user.headroom.task", "train", 5))
        skip();
    (void)snprintf(path, sizeof(path), "%s/" CGROUP_ROOT "/" WORK "/a", t->f->path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    claims_read(fd, OFFSET, 1000, &a);
    claims_read(fd, OFFSET, 1001, &b);
    assert_true(a.task != 0 && b.task != 0 && a.task != b.task);
    claims_read(fd, OFFSET, 1000, &b);
    assert_true(a.task == b.task);
}

/* Root's word for whose a group is that root has made; nobody else's. */
static void test_owner(void **state)
{
    struct tree *t = *state;
    struct group_claims ofs[3];
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;

    if (!say(t, "user.headroom.owner", "1000", 4) || !say(t, "user.headroom.task", "train", 5))
        skip();
    (void)snprintf(path, sizeof(path), "%s/" CGROUP_ROOT "/" WORK "/a", t->f->path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    claims_read(fd, OFFSET, 0, &ofs[0]);
    assert_true(ofs[0].has_owner && ofs[0].owner_uid == 1000);
    claims_read(fd, OFFSET, 1000, &ofs[1]);
    claims_read(fd, OFFSET, 1001, &ofs[2]);
    assert_false(ofs[1].has_owner || ofs[2].has_owner);
    /* His task is the same, whoever has made its cgroup. */
    assert_true(ofs[0].task == ofs[1].task && ofs[0].task != ofs[2].task);
    (void)parse("user.headroom.owner", "-1", false);
    (void)parse("user.headroom.owner", "4294967295", false);
    (void)parse("user.headroom.owner", "worker", false);
}

/* In a snapshot he is the owner, at the first walk and at those after it. */
static void test_owner_of_a_group(void **state)
{
    struct tree *t = *state;

    tree_open(t, true);
    if (getuid() != 0 || !say(t, "user.headroom.owner", "1000", 4))
        skip();
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(walk(t)->owner_uid, 1000);
}

/* Whoever the directory belongs to: who is not paused is only killed the sooner. */
static void test_no_pause_of_any_owner(void **state)
{
    static const uint32_t owners[] = {0, 1000, UINT32_MAX};
    struct tree *t = *state;
    char path[PATH_MAX];
    _cleanup_close_ int fd = -1;

    if (!say(t, "user.headroom.pause", "no", 2))
        skip();
    (void)snprintf(path, sizeof(path), "%s/" CGROUP_ROOT "/" WORK "/a", t->f->path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
        struct group_claims claims;

        claims_read(fd, OFFSET, owners[i], &claims);
        assert_true(claims.no_pause);
    }
}

/* A second look at the node leaves the groups of the last walk where they are: a decision is recorded after
 * it.
 */
static void test_groups_stay(void **state)
{
    struct tree *t = *state;

    tree_open(t, true);
    (void)walk(t);
    assert_int_equal(tree_look(t, 1001 * USEC_PER_SEC), 0);
    assert_int_equal(t->s.group_count, 1);
    assert_true(t->s.groups_read);
    assert_string_equal(t->groups[0].path, WORK "/a");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, tree_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_priority),
        cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_started),
        cmocka_unit_test(test_task),
        cmocka_unit_test(test_other_names),
        TEST(test_read),
        TEST(test_hostile),
        TEST(test_task_of_an_owner),
        TEST(test_owner),
        TEST(test_owner_of_a_group),
        TEST(test_no_pause_of_any_owner),
        TEST(test_groups_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
