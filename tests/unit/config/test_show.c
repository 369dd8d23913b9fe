/* Values as text: what is shown reads back as the same configuration, and what differs between two is told.
 */
#include "load.h"

#include "base/macros.h"
#include "base/units.h"
#include "config/show.h"

static char text[65536];
static struct buffer shown;

static void append_value(void *user, const struct config_value *v)
{
    static char section[64];

    (void)user;
    if (shown.length == 0)
        section[0] = '\0';
    if (strcmp(section, v->section) != 0)
        buffer_appendf(&shown, "%s\n", v->section);
    (void)snprintf(section, sizeof(section), "%s", v->section);
    if (v->set)
        buffer_appendf(&shown, "%s=%s\n", v->key->name, v->value);
}

static void show(const struct config *c)
{
    buffer_init(&shown, text, sizeof(text));
    config_each_value(c, NULL, append_value, NULL);
    assert_false(shown.cut);
}

static const char *const files[] = {
    "",
    "[Node]\nMode=host\nWorkload=a "
    "b/c\nProtect=\nSystemReserve=1.5G\nHostLimit=ray\nMinFree=0.05%\nObserve=yes\n"
    "MaxGroups=7\nMaxClients=9\nStatusAccess=all\nKillDeadline=1500ms\nKillLimit=3\nThrottleDeadline=90s\n"
    "NotifyGrace=0\nNotifyWake=2\nMoveProcesses=yes\nKubeletKnobs=set\nDrift=yield\nPodFile=/nowhere/pods\n",
    "[Node]\nSystemReserve=12.34%\n[Monitor]\nPressure=full 70001us 2s\nEvent=off\nThreshold=no\n",
    "[Monitor]\nPressure=off\n[Level low]\nActions=\nPriorityMax=0\n[Level medium]\nActions=reclaim pause\n",
    "[Class a]\nMatch=w/* x/?\nMatch=y\nUnit=process\nMatchCommand=python* "
    "java\nMatchUser=1000\nAllowGroup=7 0\n"
    "Priority=0\n"
    "QoS=guaranteed\nRequest=4097B\nLimit=50%\nThrottleFactor=0.0725\nSwapMax=12.5%\nSwapWriteLimit="
    "3M\nOomGroup=no\nZswapWriteback=no\nCpuWeight="
    "7\nRetriable=yes\nActions=pause "
    "kill\nOrder=newest\nOffload=yes\nOffloadRatio=adaptive\nOffloadInterval=2s\nOffloadThreshold=0.002\n"
    "TermGrace=5s\nPauseLimit=36h\nMinRunning=2\n[Class b]\nMatch=v/*\nActions=\nRequest=0\n"
    "[Class other]\nPriority=1000\nActions=notify\n",
};

static void test_what_is_shown_reads_back(void **state _unused_)
{
    static struct config first;

    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        assert_int_equal(load_text(files[i])->r, 0);
        first = loaded.config;
        show(&first);
        if (load_text(text)->r < 0) {
            print_messages(&loaded);
            fail_msg("what is shown is refused:\n%s", text);
        }
        for (unsigned k = 0; k < first.class_count; k++)
            first.classes[k].line = loaded.config.classes[k].line;
        if (memcmp(&first, &loaded.config, sizeof(first)) != 0)
            fail_msg("it reads back as something else:\n%s", text);
    }
}

static void test_every_key_says_what_it_is(void **state _unused_)
{
    const struct key *key;

    for (unsigned i = 0; (key = key_at(i)) != NULL; i++) {
        char form[256];
        struct buffer b;

        buffer_init(&b, form, sizeof(form));
        key_format_form(key, &b);
        if (b.length == 0 || b.cut || !key->format || !key->help || key->help[strlen(key->help) - 1] != '.' ||
            strchr(key->help, '|'))
            fail_msg("%s= of %s: form \"%s\"", key->name, section_title(key->section), form);
    }
}

static const struct diff_row {
    const char *before;
    const char *now;
    unsigned count;
    const char *line;
} diffs[] = {
    {"[Node]\nMode=auto\n", "", 0, ""},
    {"[Node]\nSystemReserve=1024M\n", "[Node]\nSystemReserve=1G\n", 0, ""},
    {"", "[Node]\nSystemReserve=150M\n", 1, "[Node] SystemReserve=150M (it was auto)\n"},
    {"[Node]\nMinFree=1M\nHostLimit=ray\n", "[Node]\nHostLimit=ray\n", 1,
     "[Node] MinFree= is not set any more (it was 1M)\n"},
    {"[Node]\nProtect=a\n", "[Node]\nProtect=\n", 1, "[Node] Protect= (it was a)\n"},
    {"", "[Monitor]\nEvent=off\n", 1, "[Monitor] Event=no (it was yes)\n"},
    {"", "[Level low]\nPriorityMax=5\n", 1, "[Level low] PriorityMax=5 (it was 999)\n"},
    {"", "[Class a]\nMatch=x\n", 1, "[Class a] is new\n"},
    {"[Class a]\nMatch=x\n", "", 1, "[Class a] is gone\n"},
    {"[Class a]\nMatch=x\n[Class b]\nMatch=y\n", "[Class b]\nMatch=y\n[Class a]\nMatch=x\n", 1,
     "another order"},
    {"[Class a]\nMatch=x\n[Class b]\nMatch=y\n", "[Class b]\nMatch=y\n", 1, "[Class a] is gone\n"},
    {"[Class a]\nMatch=x\n", "[Class a]\nMatch=x\nMatch=z\n", 1, "[Class a] Match=x z (it was x)\n"},
    {"[Class a]\nMatch=x\n", "[Class a]\nMatch=x\nRetriable=yes\n", 2,
     "[Class a] PauseLimit=5min (it was 30s)\n"},
    {"[Class a]\nMatch=x\nActions=kill\n", "[Class a]\nMatch=x\nActions=\n", 1,
     "[Class a] Actions= (it was kill)\n"},
    {"[Class a]\nMatch=x\nRequest=5%\n", "[Class a]\nMatch=x\n", 1, "[Class a] Request= (it was 5%)\n"},
};

static void test_what_changed_is_told(void **state _unused_)
{
    static struct config before;

    for (size_t i = 0; i < ARRAY_SIZE(diffs); i++) {
        const struct diff_row *row = &diffs[i];
        unsigned n;

        assert_int_equal(load_text(row->before)->r, 0);
        before = loaded.config;
        assert_int_equal(load_text(row->now)->r, 0);
        buffer_init(&shown, text, sizeof(text));
        n = config_diff(&before, &loaded.config, &shown);
        if (n != row->count || !strstr(text, row->line) || (n == 0) != (text[0] == '\0'))
            fail_msg("row %zu: %u changes: %s", i, n, text);
    }
}

/* Each key that is marked so is kept, and named; nothing else is. */
static void test_what_needs_a_restart_is_kept(void **state _unused_)
{
    static struct config before, now;
    const struct key *key;
    unsigned marked = 0;

    for (unsigned i = 0; (key = key_at(i)) != NULL; i++)
        marked += key->restart;
    assert_int_equal(load_text("")->r, 0);
    before = loaded.config;
    assert_int_equal(load_text("[Node]\nMaxGroups=7\nMaxClients=9\nObserve=yes\nKillLimit=3\n")->r, 0);
    now = loaded.config;
    buffer_init(&shown, text, sizeof(text));
    assert_int_equal(config_keep_fixed(&before, &now, &shown), marked);
    assert_non_null(strstr(text, "[Node] MaxGroups=7 needs a restart of headroomd; until then it is 1024\n"));
    assert_non_null(strstr(text, "[Node] Observe=yes needs a restart"));
    buffer_init(&shown, text, sizeof(text));
    assert_int_equal(config_diff(&before, &now, &shown), 1);
    assert_string_equal(text, "[Node] KillLimit=3 (it was 10)\n");
    buffer_init(&shown, text, sizeof(text));
    assert_int_equal(config_keep_fixed(&before, &now, &shown), 0);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_shown_reads_back),
        cmocka_unit_test(test_every_key_says_what_it_is),
        cmocka_unit_test(test_what_changed_is_told),
        cmocka_unit_test(test_what_needs_a_restart_is_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
