/* Sections, what must hold between keys, whole files, and how they are opened. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/units.h"

static void test_nothing_gives_the_defaults(void **state _unused_)
{
    static const char *const texts[] = {
        "", "\n", "# nothing\n", "\xef\xbb\xbf", "[Node]\n", "[Node]\n[Monitor]\n"};
    static struct config defaults;

    config_init_defaults(&defaults);
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        load_text(texts[i]);
        assert_silent(&loaded);
        assert_memory_equal(&loaded.config, &defaults, sizeof(defaults));
    }
}

/* The file of the manual. Its keys without a function yet are the only thing to say about it. */
static void test_example(void **state _unused_)
{
    const struct class_config *batch = &loaded.config.classes[0];

    load_text(
        "[Node]\n"
        "Mode=auto\n"
        "Workload=auto                      # or paths relative to the hierarchy's root, space-separated\n"
        "Protect=system.slice init.scope\n"
        "SystemReserve=auto\n"
        "[Monitor]\n"
        "Pressure=some 150ms 1s             # or off\n"
        "Event=on\n"
        "Threshold=on\n"
        "[Class batch]\n"
        "Match=workload.slice/*             # * does not cross '/'; the first class that matches wins\n"
        "Unit=cgroup                        # or process; then also MatchCommand=, MatchUser=\n"
        "Priority=300                       # 0\xe2\x80\xa6"
        "1000; lower is given up first; 1000 is protected\n"
        "QoS=burstable\n"
        "Request=                           # bytes (512M) or %; empty: not set\n"
        "Limit=\n"
        "Retriable=yes\n"
        "Actions=notify reclaim pause kill  # a set; the order is fixed; levels narrow it\n"
        "Order=least-progress\n"
        "Offload=no\n");
    assert_int_equal(loaded.r, 0);
    assert_int_equal(loaded.messages.count, 0);
    assert_int_equal(loaded.config.class_count, 2);
    assert_string_equal(batch->name, "batch");
    assert_int_equal(batch->line, 10);
    assert_int_equal(batch->match_count, 1);
    assert_string_equal(batch->match[0], "workload.slice/*");
    assert_int_equal(batch->priority, 300);
    assert_int_equal(batch->qos, QOS_BURSTABLE);
    assert_int_equal(batch->request.kind, AMOUNT_UNSET);
    assert_int_equal(batch->limit.kind, AMOUNT_UNSET);
    assert_true(batch->retriable);
    assert_int_equal(batch->actions, ACTION_BIT(ACTION_COUNT) - 1);
    assert_int_equal(batch->order, ORDER_LEAST_PROGRESS);
    assert_int_equal(batch->pause_limit_usec, 300 * USEC_PER_SEC);
    assert_string_equal(loaded.config.classes[1].name, CONFIG_CLASS_OTHER);
}

static const struct row {
    const char *text;
    unsigned line;
    const char *one;
    const char *other;
} errors[] = {
    /* sections */
    {"[Noed]\n", 1, "[Noed]", "Did you mean [Node]?"},
    {"[node]\n", 1, "[node]", "Did you mean [Node]?"},
    {"[Monitors]\nPressure=off\n", 1, "[Monitors]", "Did you mean [Monitor]?"},
    {"[class x]\nWhatever=5\n", 1, "[class x]", "Did you mean [Class NAME]?"},
    {"[Levels low]\nWhatever=5\n", 1, "[Levels low]", "Did you mean [Level NAME]?"},
    {"[level low]\n", 1, "[level low]", "Did you mean [Level NAME]?"},
    {"[Xyzzy low]\nActions=kill\n", 1, "[Xyzzy low]", "[Node], [Monitor], [Class NAME] and [Level NAME]"},
    {"[Node]\n[Node]\nWhatever=1\n", 2, "[Node]", "already, in line 1"},
    {"[Monitor]\nEvent=on\n[Node]\n[Monitor]\nEvent=maybe\n", 4, "[Monitor]", "already, in line 1"},
    {"[Node x]\nWhatever=1\n", 1, "[Node]", "takes no name"},
    {"[Monitor x]\nEvent=maybe\n", 1, "[Monitor]", "takes no name"},
    {"[Class]\nWhatever=x\n", 1, "[Class]", "needs a name"},
    {"[Class a b]\nWhatever=1\n", 1, "[Class a b]", "not allowed"},
    {"[Class a/b]\n", 1, "[Class a/b]", "not allowed"},
    {"[Class \xc3\xa9]\n", 1, "[Class \xc3\xa9]", "not allowed"},
    {"[Class 01234567890123456789012345678901]\n", 1, "[Class 012", "up to 31"},
    {"[Class a]\nMatch=x\n[Class a]\nWhatever=y\n", 3, "[Class a]", "already, in line 1"},
    {"[Level]\nWhatever=x\n", 1, "[Level]", "needs a name"},
    {"[Level calm]\nActions=\n", 1, "[Level calm]", "nothing is done when all is calm"},
    {"[Level Calm]\nActions=\n", 1, "[Level Calm]", "nothing is done when all is calm"},
    {"[Level Low]\nWhatever=1\n", 1, "[Level Low]", "Did you mean [Level low]?"},
    {"[Level meduim]\n", 1, "[Level meduim]", "Did you mean [Level medium]?"},
    {"[Level critcal]\n", 1, "[Level critcal]", "Did you mean [Level critical]?"},
    {"[Level low x]\n", 1, "[Level low x]", "Did you mean [Level low]?"},
    {"[Level 1]\nActions=pause\n", 1, "[Level 1]", "There are [Level low], [Level medium] and"},
    {"[Level low and high]\n", 1, "[Level low and high]", "There are [Level low], [Level medium] and"},
    {"[Level low]\nActions=\n[Level low]\nWhatever=1\n", 3, "[Level low]", "already, in line 1"},
    {"[Class other]\n[Class other]\n", 2, "[Class other]", "already, in line 1"},
    {"[Class a]\n", 1, "[Class a]", "has no Match="},
    {"[Class a]\nPriority=5\n[Class b]\nMatch=b\n", 1, "[Class a]", "has no Match="},
    {"[Class other]\nPriority=5\nMatch=*\n", 3, "[Class other]", "no Match="},
    /* keys given twice */
    {"[Node]\nMode=auto\nMode=auto\n", 3, "Mode=", "already, in line 2"},
    {"[Node]\nProtect=a\n\nProtect=b\n", 4, "Protect=", "already, in line 2"},
    {"[Monitor]\nEvent=on\nEvent=off\n", 3, "Event=", "already, in line 2"},
    {"[Class a]\nMatch=a\nLimit=\nLimit=\n", 4, "Limit=", "already, in line 3"},
    {"[Level low]\nPriorityMax=1\nPriorityMax=2\n", 3, "PriorityMax=", "already, in line 2"},
    /* workloads and what is protected */
    {"[Node]\nWorkload=a b /a/\n", 2, "Workload=", "names a twice"},
    {"[Node]\nWorkload=a/b a\n", 2, "Workload=", "both a/b and a,"},
    {"[Node]\nWorkload=a a/b\n", 2, "Workload=", "both a and a/b,"},
    {"[Node]\nWorkload=system.slice/x\n", 2, "Workload=system.slice/x", "Protect=system.slice (the default)"},
    {"[Node]\nWorkload=system.slice\n", 2, "Workload=system.slice", "Protect=system.slice (the default)"},
    {"[Node]\nProtect=a/b\nWorkload=a/b/c\n", 3, "Workload=a/b/c", "Protect=a/b,"},
    {"[Node]\nProtect=a/b\nWorkload=a\n", 2, "Protect=a/b", "Workload=a."},
    {"[Node]\nProtect=a\nWorkload=a\n", 3, "Workload=a", "Protect=a,"},
    /* classes */
    {"[Class a]\nMatch=a\nRequest=\nLimit=\n[Class b]\nMatch=b\nRequest=0\nLimit=0\n", 8, "Limit=0",
     "too little"},
};

static void test_errors(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
        assert_error(load_text(errors[i].text), errors[i].line, errors[i].one, errors[i].other);
}

static const struct row warnings[] = {
    {"[Node]\nMinFree=5%\n", 2, "MinFree=", "HostLimit=ray"},
    {"[Node]\nMinFree=5%\nHostLimit=auto\n", 2, "MinFree=", "HostLimit=ray"},
    {"[Class a]\nMatch=a\nPriority=1000\nActions=kill\n", 4, "Actions=", "protects it"},
    {"[Class other]\nActions=kill\nPriority=1000\n", 2, "Actions=", "protects it"},
    {"[Class other]\nActions=pause\nPriority=1000\n", 2,
     "Actions=", "never reclaimed from, paused or killed"},
    {"[Class a]\nMatch=a\nPauseLimit=1h\n", 3, "PauseLimit= of [Class a]", "never paused"},
    {"[Class a]\nMatch=a\nActions=kill\nMinRunning=1\n", 4, "MinRunning= of [Class a]", "never paused"},
    {"[Class a]\nMatch=a\nLimit=1G\n", 3, "Limit= of [Class a]", "without QoS="},
    {"[Class a]\nMatch=a\nOffloadRatio=adaptive\n", 3, "OffloadRatio= of [Class a]", "without Offload=yes"},
    {"[Class a]\nMatch=a\nOffload=yes\nUnit=process\n", 3, "Offload= of [Class a]", "Unit=process"},
    {"[Class a]\nMatch=a\nThrottleFactor=0.8\n", 3, "ThrottleFactor= of [Class a]", "without QoS="},
    {"[Class a]\nMatch=a\nSwapMax=0\n", 3, "SwapMax= of [Class a]", "without QoS="},
    {"[Class a]\nMatch=a\nSwapWriteLimit=1M\n", 3, "SwapWriteLimit= of [Class a]", "without QoS="},
    {"[Class a]\nMatch=a\nQoS=besteffort\nSwapWriteLimit=1M\n", 4, "SwapWriteLimit= of [Class a]",
     "Add SwapMax="},
    {"[Class a]\nMatch=a\nOomGroup=yes\n", 3, "OomGroup= of [Class a]", "without QoS="},
    {"[Class a]\nMatch=a\nZswapWriteback=no\n", 3, "ZswapWriteback= of [Class a]", "without QoS="},
    {"[Class other]\nCpuWeight=50\n", 2, "CpuWeight= of [Class other]", "without QoS="},
    {"[Class a]\nMatch=a\nUnit=process\nQoS=burstable\n", 4, "QoS= of [Class a]", "Unit=process"},
    {"[Class other]\nPauseLimit=1h\nActions=\n", 2, "PauseLimit= of [Class other]", "never paused"},
    {"[Level low]\nActions=kill\n", 2, "Actions= of [Level low]", "[Level critical] only"},
    {"[Level medium]\nPriorityMax=5\nActions=pause kill\n", 3, "Actions= of [Level medium]",
     "[Level critical] only"},
    {"[Class a]\nMatch=w/*\n[Class b]\nMatch=w/b-*\n", 4, "Match=w/b-* of [Class b]",
     "Match=w/* of [Class a]"},
    {"[Class a]\nMatch=w/*\n[Class b]\nMatch=x\nMatch=w/*\n", 5, "[Class b]", "never reached"},
    {"[Class a]\nMatch=w/* */x\n[Class b]\nMatch=w/?\n", 4, "[Class b]", "never reached"},
};

static void test_warnings(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(warnings); i++)
        assert_warning(load_text(warnings[i].text), warnings[i].line, warnings[i].one, warnings[i].other);
}

static const char *const silent[] = {
    "[Node]\nMinFree=5%\nHostLimit=ray\n",
    "[Node]\nWorkload=a ab abc\nProtect=b system.slice\n",
    "[Node]\nProtect=\nWorkload=system.slice\n",
    "[Node]\nWorkload=system.slices/x\n",
    /* That a class is protected needs no word about the default of Actions=. */
    "[Class a]\nMatch=a\nPriority=1000\n",
    "[Class a]\nMatch=a\nPriority=1000\nActions=\n",
    /* What asks for nothing needs no word about what it would not do. */
    "[Class a]\nMatch=a\nMinRunning=0\n",
    "[Class a]\nMatch=a\nPauseLimit=1h\nMinRunning=2\nActions=pause\n",
    "[Class a]\nMatch=a\nLimit=\nThrottleFactor=0.9\nOomGroup=no\nSwapMax=\n",
    "[Class "
    "a]\nMatch=a\nLimit=1G\nThrottleFactor=0\nSwapMax=50%\nOomGroup=yes\nCpuWeight=1\nQoS=kubernetes\n",
    /* SIGSTOP pauses a process. */
    "[Class a]\nMatch=a\nUnit=process\nActions=pause kill\n",
    /* The keys of one level are not those of another, nor of a class. */
    "[Level low]\nActions=\n[Level medium]\nActions=\n[Level critical]\nActions=\n",
    "[Level low]\nPriorityMax=1\n[Class other]\nActions=\n[Level critical]\nPriorityMax=1\nActions=kill\n",
    /* A later class may take the rest. */
    "[Class a]\nMatch=w/b-*\n[Class b]\nMatch=w/*\n",
    "[Class a]\nMatch=w/?\n[Class b]\nMatch=w/*\n",
    "[Class a]\nMatch=w/*\n[Class b]\nMatch=w/*/*\n",
    /* Within one class it costs nothing. */
    "[Class a]\nMatch=w/* w/x w/*\n",
    "[Class a]\nMatch=a\n[Class A]\nMatch=A\n",
    "[Class Az09_.-Zaz09_.-Az09_.-Az09_.-Az]\nMatch=a\n",
    "[Class   a  ]\nMatch=a\n",
};

static void test_nothing_to_say(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
        load_text(silent[i]);
        assert_silent(&loaded);
    }
}

static void test_limit_below_request(void **state _unused_)
{
    load_text("[Class a]\nMatch=a\nRequest=2G\nLimit=1G\n[Class b]\nMatch=b\nLimit=4%\nRequest=5%\n");
    assert_int_equal(loaded.r, -EINVAL);
    assert_int_equal(loaded.messages.errors, 2);
    assert_true(has_message(&loaded, false, 4, "Limit= of [Class a]", "less than its Request="));
    assert_true(has_message(&loaded, false, 7, "Limit= of [Class b]", "less than its Request="));
    load_text("[Class a]\nMatch=a\nRequest=2G\nLimit=2G\n[Class b]\nMatch=b\nRequest=90%\nLimit=1M\n");
    assert_int_equal(loaded.r, 0);
}

static void test_other_is_configured_and_last(void **state _unused_)
{
    load_text("[Class other]\nPriority=7\nActions=\nRetriable=yes\n[Class a]\nMatch=a b\nMatch=c\n[Class "
              "b]\nMatch=d\n");
    assert_silent(&loaded);
    assert_int_equal(loaded.config.class_count, 3);
    assert_string_equal(loaded.config.classes[0].name, "a");
    assert_string_equal(loaded.config.classes[1].name, "b");
    assert_string_equal(loaded.config.classes[2].name, "other");
    assert_int_equal(loaded.config.classes[0].match_count, 3);
    assert_string_equal(loaded.config.classes[0].match[2], "c");
    assert_int_equal(loaded.config.classes[0].priority, 500);
    assert_int_equal(loaded.config.classes[2].priority, 7);
    assert_int_equal(loaded.config.classes[2].actions, 0);
    assert_int_equal(loaded.config.classes[2].line, 1);
    assert_int_equal(loaded.config.classes[2].match_count, 0);
    assert_int_equal(loaded.config.classes[2].pause_limit_usec, 300 * USEC_PER_SEC);
}

/* Each level has its own values, what a section leaves out stays as it is without one, and their order in the
 * file means nothing. */
static void test_levels(void **state _unused_)
{
    static struct config defaults;
    const struct level_config *levels = loaded.config.levels;

    config_init_defaults(&defaults);
    load_text("[Level critical]\nActions=kill pause\n[Level low]\nPriorityMax=10\n[Level medium]\nActions=\n"
              "PriorityMax=0\n");
    assert_silent(&loaded);
    assert_int_equal(levels[LEVEL_CALM].actions, 0);
    assert_int_equal(levels[LEVEL_CALM].priority_max, 0);
    assert_int_equal(levels[LEVEL_LOW].actions, defaults.levels[LEVEL_LOW].actions);
    assert_int_equal(levels[LEVEL_LOW].priority_max, 10);
    assert_int_equal(levels[LEVEL_MEDIUM].actions, 0);
    assert_int_equal(levels[LEVEL_MEDIUM].priority_max, 0);
    assert_int_equal(levels[LEVEL_CRITICAL].actions, ACTION_BIT(ACTION_KILL) | ACTION_BIT(ACTION_PAUSE));
    assert_int_equal(levels[LEVEL_CRITICAL].priority_max, defaults.levels[LEVEL_CRITICAL].priority_max);
}

/* The word is not only warned about: nobody finds it in the configuration. */
static void test_no_kill_below_critical(void **state _unused_)
{
    load_text(
        "[Level low]\nActions=kill\n[Level medium]\nActions=kill reclaim\n[Level critical]\nActions=kill\n");
    assert_int_equal(loaded.r, 0);
    assert_int_equal(loaded.messages.count, 2);
    assert_true(has_message(&loaded, true, 2, "[Level low]", "names kill"));
    assert_true(has_message(&loaded, true, 4, "[Level medium]", "names kill"));
    assert_int_equal(loaded.config.levels[LEVEL_LOW].actions, 0);
    assert_int_equal(loaded.config.levels[LEVEL_MEDIUM].actions, ACTION_BIT(ACTION_RECLAIM));
    assert_int_equal(loaded.config.levels[LEVEL_CRITICAL].actions, ACTION_BIT(ACTION_KILL));
}

/* The keys of a section that was refused are not taken for those of the one before. */
static void test_refused_level_sets_nothing(void **state _unused_)
{
    assert_error(load_text("[Level low]\nActions=\n[Level hihg]\nActions=kill\nWhatever=1\n"), 3,
                 "[Level hihg]", "is no level");
}

static void load_classes(unsigned count)
{
    char text[2048];
    size_t at = 0;

    for (unsigned i = 0; i < count; i++)
        at += (size_t)sprintf(text + at, "[Class c%u]\nMatch=c%u\nPriority=1\n", i, i);
    load_text(text);
}

static void test_number_of_classes(void **state _unused_)
{
    load_classes(CONFIG_CLASSES_MAX - 1);
    assert_silent(&loaded);
    assert_int_equal(loaded.config.class_count, CONFIG_CLASSES_MAX);
    assert_string_equal(loaded.config.classes[CONFIG_CLASSES_MAX - 2].name, "c30");
    assert_string_equal(loaded.config.classes[CONFIG_CLASSES_MAX - 1].name, "other");
    load_classes(CONFIG_CLASSES_MAX); /* and the keys of the last are not taken for those of the one before */
    assert_error(&loaded, 94, "[Class c31]", "there can be 31 besides [Class other]");
}

static void test_all_errors_are_reported(void **state _unused_)
{
    char text[1024] = "[Node]\n";

    load_text("[Node]\nMode=x\nFoo=1\nMaxGroups=0\n[Nothing]\n[Class a]\n");
    assert_int_equal(loaded.r, -EINVAL);
    assert_int_equal(loaded.messages.errors, 5);
    assert_true(has_message(&loaded, false, 2, "Mode=x", ""));
    assert_true(has_message(&loaded, false, 3, "Foo=", ""));
    assert_true(has_message(&loaded, false, 4, "MaxGroups=0", ""));
    assert_true(has_message(&loaded, false, 5, "[Nothing]", ""));
    assert_true(has_message(&loaded, false, 6, "[Class a]", ""));

    for (unsigned i = 0; i < CONFIG_MESSAGES_MAX + 5; i++)
        strcat(text, "Foo=1\n");
    load_text(text);
    assert_int_equal(loaded.messages.count, CONFIG_MESSAGES_MAX);
    assert_int_equal(loaded.messages.errors, CONFIG_MESSAGES_MAX + 5);
    assert_true(has_message(&loaded, false, 2, "Foo=", ""));
}

/* Two refused words of one list are two messages. */
static void test_each_wrong_path_is_named(void **state _unused_)
{
    load_text("[Node]\nWorkload=a .. b// c\n");
    assert_int_equal(loaded.messages.errors, 2);
    assert_true(has_message(&loaded, false, 2, "Workload=..", ""));
    assert_true(has_message(&loaded, false, 2, "Workload=b//", ""));
}

static void load_path(const char *path)
{
    memset(&loaded.config, 0xa5, sizeof(loaded.config));
    loaded.r = config_load(path, &loaded.config, &loaded.messages);
    if (loaded.r < 0) {
        assert_true(is_untouched(&loaded.config));
        assert_int_equal(loaded.messages.count, 1);
        assert_int_equal(loaded.messages.errors, 1);
        assert_false(loaded.messages.warning[0]);
        assert_true(strncmp(loaded.messages.text[0], path, strlen(path)) == 0);
        assert_true(strncmp(loaded.messages.text[0] + strlen(path), ": ", 2) == 0);
    }
}

static void test_files(void **state _unused_)
{
    char directory[] = "/tmp/headroom-test-XXXXXX";
    char path[64];
    FILE *file;

    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof(path), "%s/headroom.conf", directory);

    load_path(path);
    assert_int_equal(loaded.r, -ENOENT);
    assert_non_null(strstr(loaded.messages.text[0], "No such file or directory. Create it"));

    load_path(directory);
    assert_int_equal(loaded.r, -EISDIR);
    assert_non_null(strstr(loaded.messages.text[0], "directory"));

    /* Nobody writes to it: opening or reading it must not wait. */
    assert_int_equal(mkfifo(path, 0600), 0);
    load_path(path);
    assert_int_equal(loaded.r, -EINVAL);
    assert_non_null(strstr(loaded.messages.text[0], "not a regular file"));
    assert_int_equal(unlink(path), 0);

    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("[Node]\nMode=host\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    load_path(path);
    assert_int_equal(loaded.r, 0);
    assert_int_equal(loaded.config.mode, MODE_HOST);

    if (geteuid() != 0) {
        assert_int_equal(chmod(path, 0), 0);
        load_path(path);
        assert_int_equal(loaded.r, -EACCES);
        assert_non_null(strstr(loaded.messages.text[0], "Permission denied"));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);

    load_path("/dev/null");
    assert_int_equal(loaded.r, 0);
    load_path("/dev/zero");
    assert_int_equal(loaded.r, -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_gives_the_defaults),
        cmocka_unit_test(test_example),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_nothing_to_say),
        cmocka_unit_test(test_limit_below_request),
        cmocka_unit_test(test_other_is_configured_and_last),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_no_kill_below_critical),
        cmocka_unit_test(test_refused_level_sets_nothing),
        cmocka_unit_test(test_number_of_classes),
        cmocka_unit_test(test_all_errors_are_reported),
        cmocka_unit_test(test_each_wrong_path_is_named),
        cmocka_unit_test(test_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
