/* Several files: which are read, in which order, what a later one changes, and where each value is said to
 * come from. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/macros.h"
#include "base/units.h"
#include "config/origins.h"

static char directory[64];
static char main_path[128];
static struct config_origins origins;
static unsigned files;

static const char *path_of(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s%s%s", main_path, name[0] ? ".d/" : "", name);
    return path;
}

/* "" is the configuration file itself, else a file beside it. */
static void put(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void load(void)
{
    memset(&loaded.config, 0xa5, sizeof(loaded.config));
    memset(&origins, 0xa5, sizeof(origins));
    loaded.r = config_load_origins(main_path, &loaded.config, &origins, &files, &loaded.messages);
    assert_true((loaded.r < 0) == (loaded.messages.errors > 0));
    if (loaded.r < 0)
        assert_true(is_untouched(&loaded.config));
}

static void load_good(void)
{
    load();
    if (loaded.r != 0 || loaded.messages.count != 0) {
        print_messages(&loaded);
        fail_msg("expected no message");
    }
}

/* The first message is about that line of that file, and says so. */
static void assert_said(const char *name, unsigned line, const char *words)
{
    char start[300];

    if (line > 0)
        (void)snprintf(start, sizeof(start), "%s:%u: ", path_of(name), line);
    else
        (void)snprintf(start, sizeof(start), "%s: ", path_of(name));
    if (loaded.messages.count == 0 || strncmp(loaded.messages.text[0], start, strlen(start)) != 0 ||
        !strstr(loaded.messages.text[0], words)) {
        print_messages(&loaded);
        fail_msg("expected %s… %s", start, words);
    }
}

static void assert_origin(struct config_origin o, const char *name, unsigned line)
{
    assert_in_range(o.file, 1, origins.file_count);
    assert_string_equal(origins.files[o.file - 1], path_of(name));
    assert_int_equal(o.line, line);
}

static struct config_origin origin_of(enum section section, unsigned index, const char *name)
{
    unsigned key = key_index(key_find(section, text_from(name)));

    if (section == SECTION_CLASS)
        return origins.class_key[index][key];
    return section == SECTION_LEVEL ? origins.level_key[index][key] : origins.key[key];
}

static int setup(void **state)
{
    char drop_ins[160];

    (void)state;
    (void)strcpy(directory, "/tmp/headroom-test-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(main_path, sizeof(main_path), "%s/headroom.conf", directory);
    put("", "[Node]\nMode=host\nProtect=a b\n[Class batch]\nMatch=w/*\nMatch=v/*\nPriority=300\n"
            "[Class late]\nMatch=l/*\n");
    (void)snprintf(drop_ins, sizeof(drop_ins), "%s.d", main_path);
    return mkdir(drop_ins, 0700);
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", directory);
    return system(command);
}

static void test_later_files_win(void **state _unused_)
{
    put("20-b.conf", "[Node]\nMode=isolate\n");
    put("10-a.conf", "# first\n[Node]\nMode=auto\nKillLimit=20\n");
    put("9.conf", "[Node]\nKillLimit=30\n"); /* '9' comes behind '2': names are compared as bytes */
    load_good();
    assert_int_equal(loaded.config.mode, MODE_ISOLATE);
    assert_int_equal(loaded.config.kill_limit_per_minute, 30);
    assert_int_equal(files, 4);
    assert_int_equal(origins.file_count, 4);
    assert_origin(origin_of(SECTION_NODE, 0, "Mode"), "20-b.conf", 2);
    assert_origin(origin_of(SECTION_NODE, 0, "KillLimit"), "9.conf", 2);
    assert_origin(origin_of(SECTION_NODE, 0, "Protect"), "", 3);
    assert_int_equal(origin_of(SECTION_NODE, 0, "MaxGroups").file, 0);
}

static void test_lists_are_replaced(void **state _unused_)
{
    put("a.conf", "[Node]\nProtect=c\nWorkload=x y z\n[Class batch]\nMatch=u/*\nMatch=t/* s/*\n");
    put("b.conf", "[Node]\nWorkload=q\n");
    load_good();
    assert_int_equal(loaded.config.protect_count, 1);
    assert_string_equal(loaded.config.protect[0], "c");
    assert_string_equal(loaded.config.protect[1], "");
    assert_int_equal(loaded.config.workload_count, 1);
    assert_string_equal(loaded.config.workload[0], "q");
    assert_string_equal(loaded.config.workload[1], "");
    assert_int_equal(loaded.config.classes[0].match_count, 3);
    assert_string_equal(loaded.config.classes[0].match[0], "u/*");
    assert_string_equal(loaded.config.classes[0].match[2], "s/*");
    assert_origin(origins.match[0][0], "a.conf", 5);
    assert_origin(origins.match[0][2], "a.conf", 6);

    put("c.conf", "[Node]\nWorkload=auto\n");
    load_good();
    assert_true(loaded.config.workload_auto);
    assert_int_equal(loaded.config.workload_count, 0);
}

static void test_classes_are_amended(void **state _unused_)
{
    put("a.conf", "[Class late]\nPriority=100\n[Class new]\nMatch=n/*\n[Class other]\nPriority=7\n");
    put("b.conf", "[Class batch]\nRetriable=yes\n[Class new]\nPriority=20\n[Level low]\nPriorityMax=3\n");
    load_good();
    assert_int_equal(loaded.config.class_count, 4);
    assert_string_equal(loaded.config.classes[0].name, "batch");
    assert_string_equal(loaded.config.classes[1].name, "late");
    assert_string_equal(loaded.config.classes[2].name, "new");
    assert_string_equal(loaded.config.classes[3].name, "other");
    assert_int_equal(loaded.config.classes[0].priority, 300);
    assert_true(loaded.config.classes[0].retriable);
    assert_int_equal(loaded.config.classes[0].match_count, 2);
    assert_int_equal(loaded.config.classes[0].pause_limit_usec, 300 * USEC_PER_SEC);
    assert_int_equal(loaded.config.classes[1].priority, 100);
    assert_int_equal(loaded.config.classes[2].priority, 20);
    assert_int_equal(loaded.config.classes[3].priority, 7);
    assert_origin(origin_of(SECTION_CLASS, 0, "Priority"), "", 7);
    assert_origin(origin_of(SECTION_CLASS, 0, "Retriable"), "b.conf", 2);
    assert_origin(origin_of(SECTION_CLASS, 2, "Match"), "a.conf", 4);
    assert_origin(origin_of(SECTION_CLASS, 3, "Priority"), "a.conf", 6);
    assert_origin(origin_of(SECTION_LEVEL, LEVEL_LOW, "PriorityMax"), "b.conf", 6);
}

/* The same text in one file and in several gives the same bytes: a configuration is handed over as a block.
 */
static void test_nothing_of_what_was_replaced_is_left(void **state _unused_)
{
    static struct config once;

    put("", "[Node]\nWorkload=q\n[Class p]\nMatch=m/*\nUnit=process\nMatchCommand=sh\nRequest=\n");
    load_good();
    once = loaded.config;
    put("", "[Node]\nWorkload=long/name other\n[Class p]\nMatch=much/longer/* two/*\nUnit=process\n"
            "MatchCommand=a-long-name*\nRequest=5M\n");
    put("a.conf", "[Node]\nWorkload=q\n\n[Class p]\nMatch=m/*\nMatchCommand=sh\nRequest=\n");
    load_good();
    once.classes[0].line = loaded.config.classes[0].line;
    assert_memory_equal(&once, &loaded.config, sizeof(once));
}

static void test_errors_name_their_file(void **state _unused_)
{
    put("a.conf", "[Node]\nMode=auto\n");
    put("b.conf", "\n[Node]\nSystemReserv=1G\n");
    load();
    assert_int_equal(loaded.r, -EINVAL);
    assert_said("b.conf", 3, "SystemReserve");

    put("b.conf", "Mode=auto\n"); /* a section ends with its file */
    load();
    assert_said("b.conf", 1, "before the first section");

    put("b.conf", "[Node]\nMode=auto\nMode=auto\n");
    load();
    assert_said("b.conf", 3, "already, in line 2");

    put("b.conf", "[Node]\n[Node]\n");
    load();
    assert_said("b.conf", 2, "already, in line 1");

    /* What only does not go together: each is named where it was said last. */
    put("b.conf", "[Node]\n\n\nWorkload=a/x\n");
    load();
    assert_said("b.conf", 4, "Protect=a");
    put("b.conf", "[Class added]\nPriority=1\n");
    load();
    assert_said("b.conf", 1, "has no Match=");
    put("b.conf", "[Class late]\nPauseLimit=9s\n");
    load();
    assert_int_equal(loaded.r, 0);
    assert_true(loaded.messages.warning[0]);
    assert_said("b.conf", 2, "never paused");
    put("b.conf", "[Class late]\n\nMatch=w/x\n");
    load();
    assert_int_equal(loaded.r, 0);
    assert_said("b.conf", 3, "never reached");

    /* Both files are looked through. */
    put("a.conf", "[Node]\nMode=x\n");
    put("b.conf", "[Node]\nMode=y\n");
    load();
    assert_int_equal(loaded.messages.errors, 2);
    assert_said("a.conf", 2, "Mode=x");
}

static void test_what_is_no_drop_in(void **state _unused_)
{
    static const char *const names[] = {"a", ".a.conf", "a.conf~", "a.conf.dpkg-new", ".conf", "README"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        put(names[i], "[Node]\nMode=nonsense\n");
    load_good();
    assert_int_equal(files, 1);
}

static void test_files_that_cannot_be_read(void **state _unused_)
{
    char target[300];

    assert_int_equal(symlink("/nowhere", path_of("a.conf")), 0);
    load();
    assert_int_equal(loaded.r, -ENOENT);
    assert_said("a.conf", 0, "No such file");
    assert_int_equal(unlink(path_of("a.conf")), 0);

    assert_int_equal(symlink("/dev/null", path_of("a.conf")), 0);
    load_good();
    assert_int_equal(unlink(path_of("a.conf")), 0);

    assert_int_equal(mkdir(path_of("a.conf"), 0700), 0);
    load();
    assert_int_equal(loaded.r, -EISDIR);
    assert_said("a.conf", 0, "directory");
    assert_int_equal(rmdir(path_of("a.conf")), 0);

    assert_int_equal(mkfifo(path_of("a.conf"), 0600), 0);
    load();
    assert_int_equal(loaded.r, -EINVAL);
    assert_int_equal(unlink(path_of("a.conf")), 0);

    for (unsigned i = 0; i < CONFIG_FILES_MAX; i++) {
        (void)snprintf(target, sizeof(target), "%u.conf", i);
        put(target, "");
    }
    load();
    assert_int_equal(loaded.r, -E2BIG);
    (void)snprintf(target, sizeof(target), "%s.d: ", main_path);
    assert_true(strncmp(loaded.messages.text[0], target, strlen(target)) == 0);
    assert_int_equal(unlink(path_of("0.conf")), 0);
    load_good();
    assert_int_equal(files, CONFIG_FILES_MAX);
}

static void test_directory_that_is_none(void **state _unused_)
{
    char drop_ins[160];

    (void)snprintf(drop_ins, sizeof(drop_ins), "%s.d", main_path);
    assert_int_equal(rmdir(drop_ins), 0);
    load_good();
    assert_int_equal(files, 1);
    assert_int_equal(symlink("/dev/null", drop_ins), 0);
    load();
    assert_int_equal(loaded.r, -ENOTDIR);
    assert_true(strncmp(loaded.messages.text[0], drop_ins, strlen(drop_ins)) == 0);
    assert_int_equal(unlink(drop_ins), 0);
    assert_int_equal(mkdir(drop_ins, 0700), 0);

    /* A file that was named has to be there; its drop-ins alone are not meant. */
    put("a.conf", "[Node]\nMode=auto\n");
    assert_int_equal(unlink(main_path), 0);
    load();
    assert_int_equal(loaded.r, -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_later_files_win, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists_are_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_classes_are_amended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_of_what_was_replaced_is_left, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_name_their_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_drop_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_that_cannot_be_read, setup, teardown),
        cmocka_unit_test_setup_teardown(test_directory_that_is_none, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
