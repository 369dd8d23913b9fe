/* What was done to a group of `headroom run`, as attributes: notes and how they are read. */
#include "tree.h"

#include <sys/xattr.h>

#include "action/history.h"

static int open_group(const struct fixture *f, bool marked)
{
    int fd;

    fixture_mkdir(f, "group");
    fd = openat(f->fd, "group", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    if (marked && fsetxattr(fd, HISTORY_MARK, "1", 1, 0) < 0)
        skip(); /* a file system without attributes */
    return fd;
}

static void test_notes(void **state)
{
    const struct fixture *f = *state;
    _cleanup_close_ int fd = open_group(f, true);
    struct history h;

    history_read(fd, &h);
    assert_true(h.pauses == 0 && h.kill_decision == 0 && h.asked == 0);
    history_note_resume(fd, 5); /* it was not paused */
    history_note_pause(fd, "growth", 1000);
    history_read(fd, &h);
    assert_true(h.pauses == 1 && h.paused_usec == 0 && h.paused_since_usec == 1000);
    assert_string_equal(h.pause_why, "growth");
    history_note_resume(fd, 1300);
    history_note_resume(fd, 9000); /* twice counts once */
    history_note_pause(fd, "turn", 2000);
    history_note_resume(fd, 2007);
    history_read(fd, &h);
    assert_true(h.pauses == 2 && h.paused_usec == 307 && h.paused_since_usec == 0);
    assert_string_equal(h.pause_why, "turn");
    history_note_asked(fd);
    history_note_asked(fd);
    history_note_kill(fd, 17, "culprit");
    history_read(fd, &h);
    assert_true(h.asked == 2 && h.kill_decision == 17 && h.pauses == 2);
    assert_string_equal(h.kill_why, "culprit");
}

/* Nobody else's group gets attributes of ours. */
static void test_unmarked(void **state)
{
    const struct fixture *f = *state;
    _cleanup_close_ int fd = open_group(f, false);
    char list[256];

    history_note_pause(fd, "growth", 1000);
    history_note_resume(fd, 1001);
    history_note_kill(fd, 1, "need");
    history_note_asked(fd);
    assert_int_equal(flistxattr(fd, list, sizeof(list)), 0);
}

static void test_nonsense(void **state)
{
    static const char *const pauses[] = {"",
                                         "1",
                                         "1 2",
                                         "1 2 3",
                                         "x 2 3 why",
                                         "1 -2 3 why",
                                         "1 2 3x why",
                                         "1 2 3 a-reason-that-is-longer-than-any-other",
                                         "99999999999999999999 2 3 why"};
    static const char *const kills[] = {"", "7", "x need", "-1 need"};
    struct history h = {.pauses = 4, .kill_decision = 5};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pauses); i++)
        assert_false(history_parse_pauses(text_from(pauses[i]), &h));
    for (size_t i = 0; i < ARRAY_SIZE(kills); i++)
        assert_false(history_parse_kill(text_from(kills[i]), &h));
    assert_true(h.pauses == 4 && h.kill_decision == 5);
    assert_true(history_parse_pauses(text_from("1 2 3 why"), &h));
    assert_true(h.pauses == 1 && h.paused_usec == 2 && h.paused_since_usec == 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_notes, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_unmarked, fixture_setup, fixture_teardown),
        cmocka_unit_test(test_nonsense),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
