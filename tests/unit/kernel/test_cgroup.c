#include "fixture.h"

#include <sys/xattr.h>

#include "kernel/cgroup.h"
#include "kernel/file.h"

static int parse_mountinfo(const char *buf, size_t length, void *ret)
{
    return hierarchy_parse_mountinfo(buf, length, ret);
}

static int parse_events(const char *buf, size_t length, void *ret)
{
    return cgroup_events_parse(buf, length, ret);
}

static int parse_proc_cgroup(const char *buf, size_t length, void *ret)
{
    int r = cgroup_parse_proc_cgroup(buf, length, ret);

    return r == -EXDEV ? -ENOENT : r; /* "0:://x" is outside of every hierarchy */
}

#define ROOTFS "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n23 22 0:21 / /proc rw - proc proc rw\n"
#define V1 "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n"
#define V2                                                                                                   \
    "41 22 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 "                                    \
    "rw,nsdelegate,memory_recursiveprot\n"

enum { RO = 1, PROT = 2, LOCAL = 4, HYBRID = 8 };

static void test_mountinfo(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        const char *mount;
        int flags;
    } table[] = {
        {ROOTFS V2, 0, "/sys/fs/cgroup", PROT},
        {ROOTFS "41 22 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", 0, "/sys/fs/cgroup", 0},
        {"41 22 0:38 / /c rw shared:1 master:2 propagate_from:3 unbindable - cgroup2 x rw\n", 0, "/c", 0},
        {"41 22 0:38 / /c ro,nosuid - cgroup2 cgroup2 rw\n", 0, "/c", RO},
        {"41 22 0:38 / /c rw - cgroup2 cgroup2 ro\n", 0, "/c", RO},
        {"41 22 0:38 / /c rw,root - cgroup2 cgroup2 rw,errors=ro,row\n", 0, "/c", 0},
        {"41 22 0:38 / /c rw - cgroup2 cgroup2 rw,memory_localevents\n", 0, "/c", LOCAL},
        {"41 22 0:38 / /c rw - cgroup2 cgroup2 rw,memory_recursiveprot_not,memory_localevent\n", 0, "/c", 0},
        {"41 22 0:38 / /c rw - cgroup2  rw,memory_localevents\n", 0, "/c", LOCAL}, /* empty source */
        {V1 "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", 0, "/sys/fs/cgroup/unified",
         HYBRID},
        {V2 "36 31 0:33 / /x rw - cgroup cgroup rw,name=systemd\n", 0, "/sys/fs/cgroup", PROT | HYBRID},
        {"41 22 0:38 / /with\\040blank\\134\\011 rw - cgroup2 cgroup2 rw\n", 0, "/with blank\\\t", 0},
        {"41 22 0:38 / /odd\\04\\9 rw - cgroup2 cgroup2 rw\n", 0, "/odd\\04\\9", 0},
        {"41 22 0:38 / / rw - cgroup2 cgroup2 rw\n", 0, "/", 0},
        /* A branch of the hierarchy (a container's bind mount) counts only where the whole is not to be had.
         */
        {"40 22 0:38 /docker/c1 /branch rw - cgroup2 cgroup2 ro\n" V2, 0, "/sys/fs/cgroup", PROT},
        {V2 "42 22 0:38 / /second rw - cgroup2 cgroup2 ro\n", 0, "/sys/fs/cgroup", PROT},
        {V2 "42 22 0:38 /docker/c1 /branch rw - cgroup2 cgroup2 ro\n", 0, "/sys/fs/cgroup", PROT},
        {"40 22 0:38 /a /first rw - cgroup2 x rw\n41 22 0:38 /b /second rw - cgroup2 x rw\n", 0, "/first", 0},
        /* Words that look like what is looked for, in other places. */
        {"41 22 0:38 / /cgroup2 rw - tmpfs cgroup2 rw\n", -ENOENT, NULL, 0},
        {"41 22 0:38 / /c rw cgroup2 - tmpfs x rw\n", -ENOENT, NULL, 0},
        {"41 22 0:38 / - cgroup2 cgroup2 rw\n", -ENOENT, NULL, 0},
        {"41 22 0:38 / /c rw shared:1 cgroup2 cgroup2 rw\n", -ENOENT, NULL, 0},
        {ROOTFS, -ENOENT, NULL, 0},
        {ROOTFS V1, -ENOENT, NULL, 0},
        {"", -ENOENT, NULL, 0},
        {"malformed\n\n - - -\n", -ENOENT, NULL, 0},
        {"malformed\n" V2, 0, "/sys/fs/cgroup", PROT},
        {"41 22 0:38 / /nul\\000 rw - cgroup2 cgroup2 rw\n", -EBADMSG, NULL, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        struct hierarchy h = {.fd = 77, .memory = true, .real_root = true};
        int r = hierarchy_parse_mountinfo(table[i].in, strlen(table[i].in), &h);

        if (r != table[i].r)
            fail_msg("case %zu: %d", i, r);
        assert_int_equal(h.fd, 77); /* not its business */
        assert_true(h.memory && h.real_root);
        if (r < 0)
            continue;
        assert_string_equal(h.mount, table[i].mount);
        assert_int_equal(h.read_only, !!(table[i].flags & RO));
        assert_int_equal(h.recursive_prot, !!(table[i].flags & PROT));
        assert_int_equal(h.local_events, !!(table[i].flags & LOCAL));
        assert_int_equal(h.hybrid, !!(table[i].flags & HYBRID));
    }
}

static void test_mountinfo_long_mount_point(void **state _unused_)
{
    char in[512], name[200];
    struct hierarchy h;

    for (size_t length = 120; length < 140; length++) {
        memset(name, 'x', length);
        name[0] = '/';
        name[length] = '\0';
        (void)snprintf(in, sizeof(in), "41 22 0:38 / %s rw - cgroup2 cgroup2 rw\n", name);
        assert_int_equal(hierarchy_parse_mountinfo(in, strlen(in), &h),
                         length < sizeof(h.mount) ? 0 : -ENAMETOOLONG);
    }
    (void)strcat(in, V2); /* another one that can be taken */
    assert_int_equal(hierarchy_parse_mountinfo(in, strlen(in), &h), 0);
    assert_string_equal(h.mount, "/sys/fs/cgroup");
}

static void test_hierarchy_recorded(void **state _unused_)
{
    static const char *const trees[] = RECORDED_TREES;

    for (size_t i = 0; i < ARRAY_SIZE(trees); i++) {
        _cleanup_close_ int root = recorded_open(trees[i], "");
        _cleanup_close_ int slice = -1;
        char own[CGROUP_PATH_MAX];
        struct cgroup_events events;
        struct hierarchy h;
        pid_t pids[4];
        bool more;

        assert_int_equal(hierarchy_open(root, &h), 0);
        assert_string_equal(h.mount, "/sys/fs/cgroup");
        assert_true(h.memory && h.real_root && h.recursive_prot);
        assert_false(h.read_only || h.local_events || h.hybrid);
        assert_int_equal(cgroup_read_own_path(root, own), 0);
        assert_string_equal(own, "");

        slice = cgroup_open(&h, "workload.slice/task-1");
        assert_true(slice >= 0);
        assert_int_equal(cgroup_read_events(slice, &events), 0);
        assert_true(events.populated && events.frozen);
        assert_int_equal(cgroup_read_procs(slice, pids, ARRAY_SIZE(pids), &more), 1);
        assert_false(more);
        assert_true(pids[0] > 2);
        assert_int_equal(cgroup_read_procs(h.fd, pids, ARRAY_SIZE(pids), &more), 4); /* kernel threads */
        assert_true(more);
        assert_int_equal(pids[0], 1);
        hierarchy_close(&h);
        assert_int_equal(h.fd, -1);
    }
}

/* A container host: hundreds of overlay mounts before the one that is looked for, some with lines of several
 * KiB. */
static void test_hierarchy_of_a_long_mountinfo(void **state)
{
    const struct fixture *f = *state;
    enum { SIZE = 1 << 20 };
    char *in = malloc(SIZE);
    struct hierarchy h;
    size_t n = 0;

    for (int i = 0; i < 700; i++)
        n += (size_t)snprintf(in + n, SIZE - n, "%d 1 0:%d / /o/%d rw - overlay overlay rw,lowerdir=%0*d\n",
                              i, i, i, i % 100 == 0 ? 9000 : 200, 0);
    n += (size_t)snprintf(in + n, SIZE - n, "900 1 0:9 / /cg\\040roup ro - cgroup2 cgroup2 rw\n" V1);
    fixture_write_bytes(f, "proc/self/mountinfo", in, n);
    free(in);

    assert_int_equal(hierarchy_open(f->fd, &h), -ENOENT); /* the mount point is not there */
    fixture_mkdir(f, "cg roup");
    assert_int_equal(hierarchy_open(f->fd, &h), -ENOENT); /* what is there is no cgroup2 */
    fixture_write(f, "cg roup/cgroup.controllers", "cpu memoryx io\n");
    fixture_write(f, "cg roup/cgroup.type", "domain\n");
    assert_int_equal(hierarchy_open(f->fd, &h), 0);
    assert_true(h.read_only && h.hybrid);
    assert_false(h.memory || h.real_root);
    hierarchy_close(&h);
}

static void test_hierarchy_without_mountinfo(void **state)
{
    const struct fixture *f = *state;
    struct hierarchy h = {.fd = 77};

    assert_int_equal(hierarchy_open(f->fd, &h), -ENOENT);
    fixture_mkdir(f, "sys/fs/cgroup");
    assert_int_equal(hierarchy_open(f->fd, &h), -ENOENT);
    assert_int_equal(h.fd, 77);
    fixture_write(f, "sys/fs/cgroup/cgroup.controllers", ""); /* no controllers is an empty file */
    assert_int_equal(hierarchy_open(f->fd, &h), 0);
    assert_string_equal(h.mount, "/sys/fs/cgroup");
    assert_true(h.real_root);
    assert_false(h.memory);
    hierarchy_close(&h);
    hierarchy_close(&h); /* once is enough, twice is no harm */

    fixture_write(f, "sys/fs/cgroup/cgroup.controllers", "cpu io memory\n");
    assert_int_equal(hierarchy_open(f->fd, &h), 0);
    assert_true(h.memory);
    hierarchy_close(&h);
}

/* Whether there is something below is told by the links of the directory, where those are counted. */
static void test_identity(void **state)
{
    const struct fixture *f = *state;
    struct hierarchy h = {.fd = f->fd};
    struct cgroup_identity who;
    struct stat st;
    int fd;

    fixture_mkdir(f, "a/b");
    fixture_write(f, "a/b/cgroup.procs", "");
    fd = cgroup_open(&h, "a/b");
    assert_int_equal(cgroup_read_identity(fd, &who), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(who.id == st.st_ino && who.owner_uid == st.st_uid);
    assert_true(who.is_leaf == (st.st_nlink == 2));
    fixture_mkdir(f, "a/b/c");
    assert_int_equal(cgroup_read_identity(fd, &who), 0);
    assert_false(who.is_leaf);
    (void)close(fd);
    assert_int_equal(cgroup_read_identity(-1, &who), -EBADF);
}

static void test_open_and_id(void **state)
{
    const struct fixture *f = *state;
    struct hierarchy h = {.fd = f->fd};
    uint64_t id, root_id;
    struct stat st;
    int fd;

    fixture_mkdir(f, "a/b..c/..d");
    fd = cgroup_open(&h, "a/b..c/..d");
    assert_true(fd >= 0);
    assert_int_equal(cgroup_read_id(fd, &id), 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_true(id == st.st_ino);
    (void)close(fd);
    fd = cgroup_open(&h, "");
    assert_int_equal(cgroup_read_id(fd, &root_id), 0);
    assert_true(root_id != id);
    (void)close(fd);

    assert_int_equal(cgroup_open(&h, "a/none"), -ENOENT);
    assert_int_equal(cgroup_open(&h, "/a"), -EINVAL);
    assert_int_equal(cgroup_open(&h, ".."), -EINVAL);
    assert_int_equal(cgroup_open(&h, "a/../../etc"), -EINVAL);
    assert_int_equal(cgroup_open(&h, "a//.."), -EINVAL);
    assert_int_equal(cgroup_read_id(-1, &id), -EBADF);

    /* Removed while it is held: nothing in it can be read, but it is no look-up in another place either. */
    fixture_mkdir(f, "gone");
    fd = cgroup_open(&h, "gone");
    assert_int_equal(unlinkat(f->fd, "gone", AT_REMOVEDIR), 0);
    assert_int_equal(cgroup_read_events(fd, &(struct cgroup_events){0}), -ENOENT);
    (void)close(fd);
}

static void test_proc_cgroup(void **state)
{
    static const struct {
        const char *in;
        int r;
        const char *path;
    } table[] = {
        {"0::/\n", 0, ""},
        {"0::/user.slice/user-0.slice\n", 0, "user.slice/user-0.slice"},
        {"0::/no newline", 0, "no newline"},
        {"12:pids:/x\n1:name=systemd:/y\n0::/z\n", 0, "z"},
        {"10::/x\n0:cpu:/y\n0::/z\n0::/second\n", 0, "z"},
        {"0::/a:b/c\n", 0, "a:b/c"},
        {"4:memory:/x\n", -ENOENT, NULL},
        {"0::x\n", -ENOENT, NULL},
        {"", -ENOENT, NULL},
        {"0::/../other\n", -EXDEV, NULL}, /* outside of our cgroup namespace */
    };
    const struct fixture *f = *state;
    char path[CGROUP_PATH_MAX], longest[CGROUP_PATH_MAX + 8];

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        (void)strcpy(path, "before");
        assert_int_equal(cgroup_parse_proc_cgroup(table[i].in, strlen(table[i].in), path), table[i].r);
        assert_string_equal(path, table[i].r == 0 ? table[i].path : "before");
        fixture_write(f, "proc/self/cgroup", table[i].in);
        assert_int_equal(cgroup_read_own_path(f->fd, path), table[i].r);
        fixture_write(f, "proc/77/cgroup", table[i].in);
        assert_int_equal(cgroup_read_path_of(f->fd, 77, path), table[i].r);
    }

    memset(longest, 'x', sizeof(longest));
    (void)memcpy(longest, "0::/", 4);
    assert_int_equal(cgroup_parse_proc_cgroup(longest, 4 + CGROUP_PATH_MAX - 1, path), 0);
    assert_int_equal(cgroup_parse_proc_cgroup(longest, 4 + CGROUP_PATH_MAX, path), -ENAMETOOLONG);
    longest[10] = '\0';
    assert_int_equal(cgroup_parse_proc_cgroup(longest, 20, path), -EBADMSG);
}

static void test_events(void **state)
{
    static const struct {
        const char *in;
        int r;
        bool populated, frozen;
    } table[] = {
        {"populated 1\nfrozen 0\n", 0, true, false},
        {"populated 0\nfrozen 1", 0, false, true},
        {"frozen 1\nnew 7\npopulated 1\n", 0, true, true},
        {"populated 0\npopulated 1\nfrozen 0\n", 0, false, false},
        {"populated_extra 1\nfrozen_extra 1\npopulated 0\nfrozen 0\n", 0, false, false},
        {"populated 1\n", -EBADMSG, false, false},
        {"frozen 1\n", -EBADMSG, false, false},
        {"populated 2\nfrozen 0\n", -EBADMSG, false, false},
        {"populated 0\nfrozen 18446744073709551615\n", -EBADMSG, false, false},
        {"populated -1\nfrozen 0\n", -EBADMSG, false, false},
        {"populated yes\nfrozen no\n", -EBADMSG, false, false},
        {"", -EBADMSG, false, false},
    };
    const struct fixture *f = *state;
    struct cgroup_events e;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        int r = cgroup_events_parse(table[i].in, strlen(table[i].in), &e);

        assert_int_equal(r, table[i].r);
        if (r < 0)
            continue;
        assert_int_equal(e.populated, table[i].populated);
        assert_int_equal(e.frozen, table[i].frozen);
    }
    assert_int_equal(cgroup_read_events(f->fd, &e), -ENOENT);
    fixture_write(f, "cgroup.events", "populated 1\nfrozen 1\n");
    assert_int_equal(cgroup_read_events(f->fd, &e), 0);
    assert_true(e.frozen);
}

static void test_procs(void **state)
{
    static const struct {
        const char *in;
        size_t max;
        int r;
        bool more;
        pid_t pids[4];
    } table[] = {
        {"", 4, 0, false, {0}},
        {"1\n", 4, 1, false, {1}},
        {"1\n2\n3\n4\n", 4, 4, false, {1, 2, 3, 4}},
        {"1\n2\n3\n4\n5\n", 4, 4, true, {1, 2, 3, 4}},
        {"0\n0\n7\n0\n8", 4, 2, false, {7, 8}}, /* foreign pid namespaces */
        {"1\n2\n0\n0\n", 2, 2, false, {1, 2}},  /* left out, hence not "more" */
        {"0\n", 0, 0, false, {0}},
        {"5\n", 0, 0, true, {0}},
        {"2147483647\n", 4, 1, false, {INT_MAX}},
        {"2147483648\n", 4, -EBADMSG, false, {0}},
        {"18446744073709551617\n", 4, -EBADMSG, false, {0}}, /* 2^64 + 1 is not pid 1 */
        {"-1\n", 4, -EBADMSG, false, {0}},
        {"1\n\n2\n", 4, -EBADMSG, false, {0}},
        {"1\r\n", 4, -EBADMSG, false, {0}},
        {"1 2\n", 4, -EBADMSG, false, {0}},
    };
    const struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        pid_t pids[4] = {0};
        bool more = !table[i].more;

        fixture_write(f, "cgroup.procs", table[i].in);
        assert_int_equal(cgroup_read_procs(f->fd, pids, table[i].max, &more), table[i].r);
        if (table[i].r < 0)
            continue;
        assert_int_equal(more, table[i].more);
        assert_memory_equal(pids, table[i].pids, (size_t)table[i].r * sizeof(pid_t));
    }
    (void)unlinkat(f->fd, "cgroup.procs", 0);
    assert_int_equal(cgroup_read_procs(f->fd, &(pid_t){0}, 1, &(bool){false}), -ENOENT);
}

static void test_many_procs(void **state)
{
    const struct fixture *f = *state;
    enum { COUNT = 20000 };
    char *in = malloc(COUNT * 8);
    pid_t *pids = calloc(COUNT, sizeof(*pids));
    size_t n = 0;
    bool more;

    for (int i = 1; i <= COUNT; i++)
        n += (size_t)snprintf(in + n, COUNT * 8 - n, "%d\n", i);
    fixture_write_bytes(f, "cgroup.procs", in, n);
    assert_int_equal(cgroup_read_procs(f->fd, pids, COUNT, &more), COUNT);
    assert_false(more);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(pids[i], i + 1);
    assert_int_equal(cgroup_read_procs(f->fd, pids, COUNT - 1, &more), COUNT - 1);
    assert_true(more);
    free(in);
    free(pids);
}

static void test_list_has(void **state _unused_)
{
    static const char list[] = "cpuset cpu io memory hugetlb pids\n";

    assert_true(cgroup_list_has(list, strlen(list), "memory"));
    assert_true(cgroup_list_has(list, strlen(list), "cpuset"));
    assert_true(cgroup_list_has(list, strlen(list), "pids"));
    assert_true(cgroup_list_has(list, strlen(list) - 1, "pids"));
    assert_false(cgroup_list_has(list, strlen(list) - 2, "pids"));
    assert_false(cgroup_list_has(list, strlen(list), "mem"));
    assert_false(cgroup_list_has(list, strlen(list), "memory_hugetlb"));
    assert_false(cgroup_list_has(list, strlen(list), ""));
    assert_false(cgroup_list_has("", 0, "memory"));
}

static void test_xattr(void **state)
{
    const struct fixture *f = *state;
    char buf[8] = "before";
    int r;

    r = cgroup_write_xattr(f->fd, "user.headroom.task", "abcdefg");
    if (r == -EOPNOTSUPP || r == -EPERM)
        skip(); /* the file system below the temporary directory has none */
    assert_int_equal(r, 0);
    assert_int_equal(cgroup_read_xattr(f->fd, "user.headroom.task", buf, sizeof(buf)), 0);
    assert_string_equal(buf, "abcdefg");

    (void)strcpy(buf, "before");
    assert_int_equal(cgroup_write_xattr(f->fd, "user.headroom.task", "abcdefgh"), 0);
    for (size_t size = 0; size <= sizeof(buf); size++)
        assert_int_equal(cgroup_read_xattr(f->fd, "user.headroom.task", buf, size), -ERANGE);
    assert_int_equal(cgroup_read_xattr(f->fd, "user.headroom.none", buf, sizeof(buf)), -ENODATA);
    assert_string_equal(buf, "before");

    assert_int_equal(cgroup_write_xattr(f->fd, "user.headroom.task", ""), 0);
    assert_int_equal(cgroup_read_xattr(f->fd, "user.headroom.task", buf, 1), 0);
    assert_string_equal(buf, "");
    assert_int_equal(cgroup_read_xattr(f->fd, "user.headroom.task", buf, 0), -ERANGE);
}

static void test_paths(void **state _unused_)
{
    static const struct {
        const char *path, *ancestor;
        bool below;
    } table[] = {
        {"a/b", "a", true},     {"a", "a", true},       {"ab", "a", false},  {"a", "a/b", false},
        {"a", "", true},        {"", "", true},         {"", "a", false},    {"a-b", "a", false},
        {"a/b/c", "a/b", true}, {"a/bc", "a/b", false}, {"b/a", "a", false},
    };
    char path[CGROUP_PATH_MAX] = "", name[CGROUP_PATH_MAX + 1];

    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        assert_int_equal(cgroup_path_is_below(table[i].path, table[i].ancestor), table[i].below);

    assert_int_equal(cgroup_path_join(path, "", "a"), 0);
    assert_string_equal(path, "a");
    assert_int_equal(cgroup_path_join(path, path, "b"), 0);
    assert_string_equal(path, "a/b");
    assert_int_equal(cgroup_path_join(path, "x", ""), 0);
    assert_string_equal(path, "x");
    assert_int_equal(cgroup_path_join(path, "", ""), 0);
    assert_string_equal(path, "");

    memset(name, 'n', sizeof(name));
    name[CGROUP_PATH_MAX] = '\0';
    assert_int_equal(cgroup_path_join(path, "", name), -ENAMETOOLONG);
    name[CGROUP_PATH_MAX - 1] = '\0';
    assert_int_equal(cgroup_path_join(path, "a", name), -ENAMETOOLONG);
    assert_string_equal(path, "");
    assert_int_equal(cgroup_path_join(path, "", name), 0);
    assert_int_equal(strlen(path), CGROUP_PATH_MAX - 1);
    name[CGROUP_PATH_MAX - 3] = '\0';
    assert_int_equal(cgroup_path_join(path, "a", name), 0);
    assert_int_equal(strlen(path), CGROUP_PATH_MAX - 1);
}

struct visits {
    unsigned count;
    unsigned stop_after; /* 0: never */
    enum cgroup_walk of_marked;
};

static enum cgroup_walk visit(void *user, int cgroup_fd)
{
    struct visits *v = user;

    v->count++;
    if (v->count == v->stop_after)
        return CGROUP_WALK_STOP;
    return faccessat(cgroup_fd, "marked", F_OK, 0) == 0 ? v->of_marked : CGROUP_WALK_ON;
}

static unsigned visited(const struct fixture *f, unsigned depth_max, unsigned stop_after,
                        enum cgroup_walk of_marked)
{
    struct visits v = {.stop_after = stop_after, .of_marked = of_marked};
    bool stopped = cgroup_walk(f->fd, depth_max, visit, &v) == CGROUP_WALK_STOP;

    assert_int_equal(stopped, v.count == stop_after || of_marked == CGROUP_WALK_STOP);
    return v.count;
}

static void test_walk(void **state)
{
    struct fixture *f = *state;

    fixture_mkdir(f, "a/b/c");
    fixture_mkdir(f, "d");
    fixture_write(f, "a/marked", ""); /* a file is no cgroup */
    assert_int_equal(visited(f, 3, 0, CGROUP_WALK_ON), 5);
    assert_int_equal(visited(f, 2, 0, CGROUP_WALK_ON), 4);
    assert_int_equal(visited(f, 0, 0, CGROUP_WALK_ON), 1);
    assert_int_equal(visited(f, 3, 0, CGROUP_WALK_PAST), 3); /* beside it goes on */
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(visited(f, 3, i, CGROUP_WALK_ON), i);
    assert_true(visited(f, 3, 0, CGROUP_WALK_STOP) <= 3);
}

static void test_hostile(void **state _unused_)
{
    hostile_all(parse_mountinfo, ROOTFS V1 V2, -ENOENT);
    hostile_all(parse_events, "populated 1\nfrozen 0\n", -EBADMSG);
    hostile_all(parse_proc_cgroup, "1:cpu:/x\n0::/user.slice/a\n", -ENOENT);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mountinfo),
        cmocka_unit_test(test_mountinfo_long_mount_point),
        cmocka_unit_test(test_hierarchy_recorded),
        TEST(test_hierarchy_of_a_long_mountinfo),
        TEST(test_hierarchy_without_mountinfo),
        TEST(test_identity),
        TEST(test_open_and_id),
        TEST(test_proc_cgroup),
        TEST(test_events),
        TEST(test_procs),
        TEST(test_many_procs),
        TEST(test_walk),
        cmocka_unit_test(test_list_has),
        TEST(test_xattr),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_hostile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
