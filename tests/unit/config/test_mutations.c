/* A law for every file, sensible or not: loading ends, either refuses with a message and leaves the caller's
 * configuration alone, or gives one in which everything is within its bounds. The files are real ones,
 * damaged at random; the seed is fixed, so that a failure comes back. */
#include "load.h"

#include <stdlib.h>

#include "base/macros.h"
#include "base/units.h"

#define FILES 100000
#define FILE_MAX 2048

static const char *const originals[] = {
    "[Node]\nMode=auto\nWorkload=auto # comment\nProtect=system.slice "
    "init.scope\nSystemReserve=10%\nMaxGroups=64\n",
    "[Node]\nMode=isolate\nWorkload=/workload.slice/ "
    "user.slice/user-1000.slice\nProtect=\nHostLimit=ray\nMinFree=5%\n"
    "KillDeadline=2s\nKillLimit=10\nThrottleDeadline=10s\nNotifyGrace=500ms\nNotifyWake=16\nObserve=yes\n",
    "[Monitor]\nPressure=some 150ms 1s\nEvent=on\nThreshold=off\n[Class other]\nPriority=7\n",
    "[Class a]\nMatch=workload.slice/* b/?\nMatch=[x]\nPriority=300\nQoS=burstable\nRequest=512M\nLimit=50%\n"
    "Retriable=yes\nActions=notify reclaim pause "
    "kill\nOrder=least-progress\nOffload=no\nTermGrace=5s\nPauseLimit=1h\nMinRunning=2\n"
    "[Class b]\r\nMatch=w/*\r\nActions=\r\nUnit=process\r\nMatchCommand=python*\r\n",
    "\xef\xbb\xbf# UTF-8: \xe2\x82\xac\n[Node]\n\nStatusAccess=all\nMaxClients=1\nMoveProcesses=yes\n",
    "[Level low]\nActions=reclaim kill\nPriorityMax=300\n[Level medium]\nActions=reclaim "
    "pause\nPriorityMax=999\n"
    "[Level critical]\nActions=notify reclaim pause kill\nPriorityMax=0\n",
};

static const char *const tokens[] = {
    "[Node]\n",
    "[Monitor]\n",
    "[Class c]\nMatch=c\n",
    "[Class other]\n",
    "[Level low]\n",
    "[Level medium]\nActions=kill\n",
    "\n",
    "=",
    " # ",
    " ;",
    "/",
    "..",
    "*",
    "%",
    "M",
    "99999999999999999999",
    "\xc3",
    "\xe2\x82\xac",
    "Match=",
    "Mode=host\n",
    "Limit=",
    "auto",
    "\r\n",
    "\t",
    "\xff",
    "0",
};

static uint64_t random_state;

/* splitmix64: short, and the same everywhere. */
static uint64_t random_next(void)
{
    uint64_t z = (random_state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static size_t random_below(size_t n)
{
    return (size_t)(random_next() % n);
}

static size_t insert(char *text, size_t length, size_t at, const char *what, size_t what_length)
{
    if (length + what_length > FILE_MAX)
        return length;
    memmove(text + at + what_length, text + at, length - at);
    memcpy(text + at, what, what_length);
    return length + what_length;
}

static size_t mutate(char *text, size_t length)
{
    size_t at = random_below(length + 1);
    size_t count = random_below(length - at + 1) % 40;
    char copy[40];
    const char *token;

    switch (random_below(6)) {
    case 0:
        if (at < length)
            text[at] = (char)random_next();
        return length;
    case 1:
        if (at < length)
            text[at] = (char)(text[at] ^ (1 << random_below(8)));
        return length;
    case 2:
        memmove(text + at, text + at + count, length - at - count);
        return length - count;
    case 3:
        memcpy(copy, text + at, count);
        return insert(text, length, random_below(length + 1), copy, count);
    case 4:
        return random_below(8) == 0 ? at : length; /* cut short */
    default:
        token = tokens[random_below(ARRAY_SIZE(tokens))];
        return insert(text, length, at, token, strlen(token));
    }
}

static void assert_path(const char *path)
{
    size_t length = strnlen(path, CONFIG_PATH_MAX);

    assert_in_range(length, 1, CONFIG_PATH_MAX - 1);
    assert_true(path[0] != '/' && path[length - 1] != '/');
    assert_null(strstr(path, "//"));
    assert_null(strpbrk(path, " \t\n"));
}

static void assert_class_in_bounds(const struct class_config *class)
{
    assert_in_range(strnlen(class->name, CONFIG_NAME_MAX), 1, CONFIG_NAME_MAX - 1);
    assert_in_range(class->match_count, 0, CONFIG_PATTERNS_MAX);
    for (unsigned i = 0; i < class->match_count; i++)
        assert_path(class->match[i]);
    assert_in_range(class->priority, 0, CONFIG_PRIORITY_PROTECTED);
    assert_in_range(class->actions, 0, ACTION_BIT(ACTION_COUNT) - 1);
    assert_in_range(class->unit, UNIT_CGROUP, UNIT_PROCESS);
    assert_in_range(class->qos, QOS_UNSET, QOS_BESTEFFORT);
    assert_in_range(class->order, ORDER_NEWEST, ORDER_LEAST_PROGRESS);
    assert_true(class->request.kind != AMOUNT_PERMYRIAD || class->request.value <= PERMYRIAD);
    assert_true(class->limit.kind != AMOUNT_PERMYRIAD || class->limit.value <= PERMYRIAD);
    assert_true(class->pause_limit_usec >= USEC_PER_SEC);
    assert_in_range(class->min_running, 0, 1000);
}

static void assert_in_bounds(const struct config *c)
{
    assert_in_range(c->mode, MODE_AUTO, MODE_HOST);
    assert_in_range(c->workload_count, 0, CONFIG_PATHS_MAX);
    assert_true(c->workload_auto == (c->workload_count == 0));
    for (unsigned i = 0; i < c->workload_count; i++)
        assert_path(c->workload[i]);
    assert_in_range(c->protect_count, 0, CONFIG_PATHS_MAX);
    for (unsigned i = 0; i < c->protect_count; i++)
        assert_path(c->protect[i]);
    assert_true(c->system_reserve.kind != AMOUNT_PERMYRIAD || c->system_reserve.value < PERMYRIAD);
    assert_in_range(c->max_groups, 1, 100000);
    assert_in_range(c->max_clients, 1, 100000);
    assert_in_range(c->kill_limit_per_minute, 1, 1000);
    assert_in_range(c->kill_deadline_usec, 100000, 60000000);
    if (c->monitor.pressure)
        assert_true(c->monitor.pressure_stall_usec > 0 &&
                    c->monitor.pressure_stall_usec <= c->monitor.pressure_window_usec);
    assert_in_range(c->throttle_deadline_usec, USEC_PER_SEC, 3600 * USEC_PER_SEC);
    assert_int_equal(c->levels[LEVEL_CALM].actions, 0);
    for (enum level l = LEVEL_LOW; l < LEVEL_COUNT; l++) {
        assert_in_range(c->levels[l].actions, 0, ACTION_BIT(ACTION_COUNT) - 1);
        assert_true(l == LEVEL_CRITICAL || !(c->levels[l].actions & ACTION_BIT(ACTION_KILL)));
        assert_in_range(c->levels[l].priority_max, 0, CONFIG_PRIORITY_PROTECTED - 1);
    }
    assert_in_range(c->class_count, 1, CONFIG_CLASSES_MAX);
    for (unsigned i = 0; i < c->class_count; i++) {
        assert_class_in_bounds(&c->classes[i]);
        assert_true((strcmp(c->classes[i].name, CONFIG_CLASS_OTHER) == 0) == (i == c->class_count - 1));
        assert_true((c->classes[i].match_count == 0) == (i == c->class_count - 1));
    }
}

static void test_damaged_files(void **state _unused_)
{
    unsigned taken = 0, refused = 0;

    random_state = 1;
    for (unsigned i = 0; i < FILES; i++) {
        const char *original = originals[random_below(ARRAY_SIZE(originals))];
        size_t length = strlen(original);
        char text[FILE_MAX];

        memcpy(text, original, length);
        for (size_t n = 1 + random_below(4); n > 0; n--)
            length = mutate(text, length);
        if (load_bytes(text, length)->r == 0) {
            assert_in_bounds(&loaded.config);
            taken++;
        } else {
            refused++;
        }
    }
    print_message("%u taken, %u refused\n", taken, refused);
    /* Both halves of the law were tried. */
    assert_true(taken > FILES / 20);
    assert_true(refused > FILES / 20);
}

/* The same file gives the same bytes: what was on the heap before does not show through. */
static void test_same_file_same_bytes(void **state _unused_)
{
    static struct config first;

    for (size_t i = 0; i < ARRAY_SIZE(originals); i++) {
        void *litter = malloc(2 * sizeof(struct config));

        assert_non_null(litter);
        assert_int_equal(load_text(originals[i])->r, 0);
        first = loaded.config;
        memset(litter, 0x5a, 2 * sizeof(struct config));
        free(litter);
        assert_int_equal(load_text(originals[i])->r, 0);
        assert_memory_equal(&first, &loaded.config, sizeof(first));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_same_file_same_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
