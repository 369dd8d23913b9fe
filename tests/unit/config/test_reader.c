/* The grammar: what a line may look like, and that nothing of what inih would let pass or cut does. */
#include "load.h"

#include <errno.h>
#include <stdlib.h>

#include "base/macros.h"
#include "config/reader.h"

#define NODE "[Node]\n"

/* Texts that mean Mode=host and nothing else. */
static const char *const same[] = {
    "[Node]\nMode=host\n",
    "[Node]\nMode=host",
    "[Node]\r\nMode=host\r\n",
    "[Node]\r\nMode=host\r",
    "\xef\xbb\xbf[Node]\nMode=host\n",
    "\n\n[Node]\n\n\nMode=host\n\n",
    "  \t \n[Node]\n \t\nMode=host\n",
    "# c\n; c\n  # c\n\t; c\n[Node]\n# Mode=isolate\n;Mode=isolate\nMode=host\n#",
    "[Node] # comment\nMode=host # comment\n",
    "[Node]\t#comment\nMode=host\t#\n",
    "[ Node ]\nMode=host # a # b ; c\n",
    "[Node]\nMode = host\n",
    "[Node]\nMode\t=\thost\t \n",
    "[Node]\nMode= host # h\xc3\xb4te\n",
    "[Node]\nMode=host # a line of [Node] = c\n",
    "[Monitor]\n[Node]\nMode=host\n[Class other]\n",
};

static void test_same_meaning(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(same); i++) {
        load_text(same[i]);
        assert_silent(&loaded);
        assert_int_equal(loaded.config.mode, MODE_HOST);
    }
}

static const struct row {
    const char *text;
    size_t length; /* 0: to the NUL */
    unsigned line;
    const char *one;
    const char *other;
} rows[] = {
    {NODE " Mode=host\n", 0, 2, "starts with a blank", "remove the blanks"},
    {NODE "\tMode=host\n", 0, 2, "starts with a blank", "remove the blanks"},
    {NODE "Protect=a\n  b\n", 0, 3, "starts with a blank", "cannot be continued"},
    {" [Node]\n", 0, 1, "starts with a blank", ""},
    {NODE "Mode: host\n", 0, 2, "Mode: host", "neither a [Section] nor Key=value"},
    {NODE "Mode\n", 0, 2, "Mode", "neither a [Section] nor Key=value"},
    {NODE "Mo:de=host\n", 0, 2, "Mo:de", "letters only"},
    {NODE "Mo de=host\n", 0, 2, "Mo de", "letters only"},
    {NODE "Mode;=host\n", 0, 2, "Mode;", "letters only"},
    {NODE "M\xc3\xb6"
          "de=host\n",
     0, 2,
     "M\xc3\xb6"
     "de",
     "letters only"},
    {NODE "=host\n", 0, 2, "name of the key", "missing"},
    {NODE "Mode=#host\n", 0, 2, "Mode=#host", "auto, isolate, host"},
    {NODE "Mode=host#x\n", 0, 2, "Mode=host#x", "auto, isolate, host"},
    {NODE "Mode=host;x\n", 0, 2, "Mode=host;x", "auto, isolate, host"},
    {NODE "Mode=host ; x\n", 0, 2, "Mode=", "A comment behind a value starts with '#'"},
    {NODE "Mode= ;host\n", 0, 2, "Mode=", "A comment behind a value starts with '#'"},
    {NODE "Mode=host\n[Node\n", 0, 3, "[Node", "not a section header"},
    {NODE "Mode=host\n[Monitor]x\n", 0, 3, "[Monitor]x", "not a section header"},
    {NODE "Mode=host\n[Monitor]]\n", 0, 3, "[Monitor]]", "not a section header"},
    {"[\n", 0, 1, "[ is not a section header", ""},
    {"[]\n", 0, 1, "[] is no section", "[Node], [Monitor], [Class NAME] and [Level NAME]"},
    {NODE "Mode=ho\0st\n", sizeof(NODE "Mode=ho\0st\n") - 1, 2, "byte 8", "NUL"},
    {"\0", 1, 1, "byte 1", "NUL"},
    {NODE "Mode=host\0", sizeof(NODE "Mode=host\0") - 1, 2, "byte 10", "NUL"},
    {NODE "Mode=host\x1b[31m\n", 0, 2, "byte 10", "control character 0x1b"},
    {NODE "Mode=ho\rst\n", 0, 2, "byte 8", "control character 0x0d"},
    {NODE "Mode=host\r\r\n", 0, 2, "byte 10", "control character 0x0d"},
    {NODE "\fMode=host\n", 0, 2, "byte 1", "control character 0x0c"},
    {NODE "Mode=host\x7f\n", 0, 2, "byte 10", "control character 0x7f"},
    {NODE "# \x80\n", 0, 2, "byte 3", "UTF-8"},
    {NODE "# \xff\n", 0, 2, "byte 3", "UTF-8"},
    {NODE "# \xc3\n", 0, 2, "byte 3", "UTF-8"},         /* cut */
    {NODE "# \xe2\x82x\n", 0, 2, "byte 3", "UTF-8"},    /* a letter within a character */
    {NODE "# \xc0\xaf\n", 0, 2, "byte 3", "UTF-8"},     /* '/' in two bytes */
    {NODE "# \xe0\x80\xaf\n", 0, 2, "byte 3", "UTF-8"}, /* in three */
    {NODE "# \xf0\x80\x80\xaf\n", 0, 2, "byte 3", "UTF-8"},
    {NODE "# \xed\xa0\x80\n", 0, 2, "byte 3", "UTF-8"}, /* a surrogate */
    {NODE "# \xf4\x90\x80\x80\n", 0, 2, "byte 3", "UTF-8"},
    {NODE "# \xf5\x80\x80\x80\n", 0, 2, "byte 3", "UTF-8"},
    {NODE "\xef\xbb\xbfMode=host\n", 0, 2, "letters only", ""}, /* no mark in the middle of the file */
    {"\xff\xfe[\0N\0", 6, 1, "byte 1", "UTF-8"},
};

static void test_refused_lines(void **state _unused_)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *row = &rows[i];

        load_bytes(row->text, row->length > 0 ? row->length : strlen(row->text));
        assert_error(&loaded, row->line, row->one, row->other);
    }
}

static void test_well_formed_utf8_passes(void **state _unused_)
{
    load_text("# \xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf \xf0\x90\x80\x80 "
              "\xf4\x8f\xbf\xbf\n");
    assert_silent(&loaded);
}

/* A text of `length` bytes in its line 2, which is Protect= with paths of two bytes and a comment that fills
 * it up. */
static void load_line_of(size_t length, const char *ending)
{
    static char text[READER_LINE_MAX + 64];
    size_t at = (size_t)sprintf(text, "[Node]\nProtect=a b #");

    while (at < strlen("[Node]\n") + length)
        text[at++] = 'c';
    strcpy(text + at, ending);
    load_text(text);
}

static void test_line_limit(void **state _unused_)
{
    load_line_of(READER_LINE_MAX, "\n");
    assert_silent(&loaded);
    assert_int_equal(loaded.config.protect_count, 2);
    load_line_of(READER_LINE_MAX, "");
    assert_silent(&loaded);
    load_line_of(READER_LINE_MAX + 1, "\n");
    assert_error(&loaded, 2, "longer than 4096 bytes", "");
    load_line_of(READER_LINE_MAX + 1, "");
    assert_error(&loaded, 2, "longer than 4096 bytes", "");
    /* What follows is read as if nothing had been there. */
    load_line_of(READER_LINE_MAX + 1, "\nMode=x\n");
    assert_int_equal(loaded.messages.errors, 2);
    assert_true(has_message(&loaded, false, 2, "longer than", ""));
    assert_true(has_message(&loaded, false, 3, "Mode=x", ""));
}

/* Built as its author means it, inih takes 200 bytes a line and splits what is longer. Where that cannot be
 * raised, the file must be refused. */
static void test_long_values_arrive_whole(void **state _unused_)
{
    char text[CONFIG_PATHS_MAX * CONFIG_PATH_MAX + 64];
    size_t at = (size_t)sprintf(text, "[Node]\nWorkload=");

    for (unsigned i = 0; i < CONFIG_PATHS_MAX; i++) {
        memset(text + at, 'a' + (int)i, CONFIG_PATH_MAX - 1);
        at += CONFIG_PATH_MAX - 1;
        text[at++] = ' ';
    }
    text[at] = '\0';
    load_text(text);
    if (loaded.r < 0) {
        assert_error(&loaded, 2, "inih", "of this system");
        return;
    }
    assert_silent(&loaded);
    assert_int_equal(loaded.config.workload_count, CONFIG_PATHS_MAX);
    for (unsigned i = 0; i < CONFIG_PATHS_MAX; i++) {
        assert_int_equal(strlen(loaded.config.workload[i]), CONFIG_PATH_MAX - 1);
        assert_int_equal(loaded.config.workload[i][CONFIG_PATH_MAX - 2], 'a' + (int)i);
    }
}

static void test_file_limit(void **state _unused_)
{
    char *text = malloc(READER_FILE_MAX + 2);

    assert_non_null(text);
    memset(text, '\n', READER_FILE_MAX + 2);
    load_bytes(text, READER_FILE_MAX);
    assert_silent(&loaded);
    load_bytes(text, READER_FILE_MAX + 1);
    assert_int_equal(loaded.r, -27);
    assert_non_null(strstr(loaded.messages.text[0], "larger than 1048576 bytes"));
    memset(text, 'x', READER_FILE_MAX + 2);
    load_bytes(text, READER_FILE_MAX + 2);
    assert_int_equal(loaded.r, -27);
    /* Even behind more errors than there is room for. */
    for (unsigned i = 0; i < 100; i++)
        text[i * 2] = '\n';
    load_bytes(text, READER_FILE_MAX + 2);
    assert_int_equal(loaded.r, -27);
    assert_non_null(strstr(loaded.messages.text[CONFIG_MESSAGES_MAX - 1], "larger than"));
    free(text);
}

static ssize_t read_fails(void *cookie _unused_, char *buf _unused_, size_t size _unused_)
{
    errno = EIO;
    return -1;
}

static void test_failing_read(void **state _unused_)
{
    FILE *stream = fopencookie(NULL, "r", (cookie_io_functions_t){.read = read_fails});

    assert_non_null(stream);
    memset(&loaded.config, 0xa5, sizeof(loaded.config));
    loaded.r = config_load_stream(stream, TEST_FILE, &loaded.config, &loaded.messages);
    (void)fclose(stream);
    assert_promises(&loaded);
    assert_int_equal(loaded.r, -EIO);
    assert_non_null(strstr(loaded.messages.text[0], "Input/output error"));
}

static void test_errors_push_out_warnings(void **state _unused_)
{
    static struct config_messages messages;
    static struct reader reader;

    reader_init(&reader, NULL, TEST_FILE, &messages);
    for (unsigned i = 0; i < CONFIG_MESSAGES_MAX + 3; i++)
        reader_warning_at(&reader, i + 1, "warning.");
    assert_int_equal(messages.count, CONFIG_MESSAGES_MAX);
    assert_int_equal(messages.errors, 0);
    reader_error_at(&reader, 100, "one.");
    reader_error_at(&reader, 101, "two.");
    assert_int_equal(messages.count, CONFIG_MESSAGES_MAX);
    assert_int_equal(messages.errors, 2);
    assert_string_equal(messages.text[0], TEST_FILE ":1: warning.");
    assert_string_equal(messages.text[13], TEST_FILE ":14: warning.");
    assert_string_equal(messages.text[14], TEST_FILE ":100: one.");
    assert_string_equal(messages.text[15], TEST_FILE ":101: two.");
    assert_true(messages.warning[13]);
    assert_false(messages.warning[14] || messages.warning[15]);
    for (unsigned i = 0; i < CONFIG_MESSAGES_MAX; i++)
        reader_error_at(&reader, 200 + i, "more.");
    assert_int_equal(messages.errors, CONFIG_MESSAGES_MAX + 2);
    assert_string_equal(messages.text[0], TEST_FILE ":100: one.");
    assert_string_equal(messages.text[15], TEST_FILE ":213: more.");
}

static void test_file_names_are_made_harmless(void **state _unused_)
{
    static struct config_messages messages;
    static struct reader reader;
    char name[400];

    reader_init(&reader, NULL, "a b\nlevel=error\x1b", &messages);
    reader_error_at(&reader, 3, "x.");
    assert_string_equal(messages.text[0], "a b?level=error?:3: x.");
    memset(name, 'd', sizeof(name));
    strcpy(name + sizeof(name) - 6, "/conf");
    reader_init(&reader, NULL, name, &messages);
    reader_error_at(&reader, 3, "x.");
    assert_int_equal(messages.count, 1);
    assert_true(strncmp(messages.text[0], "...ddd", 6) == 0);
    assert_non_null(strstr(messages.text[0], "/conf:3: x."));
    assert_int_equal(strlen(reader.name), READER_NAME_MAX - 1);

    /* The cut falls into a character. */
    for (unsigned i = 0; i < 150; i++)
        memcpy(name + 2 * i, "\xc3\xa9", 2);
    strcpy(name + 300, "x");
    reader_init(&reader, NULL, name, &messages);
    assert_true(strncmp(reader.name, "...\xc3\xa9", 5) == 0);
}

static void test_excerpts(void **state _unused_)
{
    char buf[EXCERPT_MAX];
    char text[200];

    assert_string_equal(excerpt(buf, text_from("short")), "short");
    assert_string_equal(excerpt(buf, (struct text){NULL, 0}), "");
    /* Two bytes each, so that the limit of 92 would fall between characters, and, one byte later, into one.
     */
    for (unsigned shift = 0; shift < 2; shift++) {
        memset(text, 'x', shift);
        for (unsigned i = 0; i < 99; i++)
            memcpy(text + shift + 2 * i, "\xc3\xa9", 2);
        text[shift + 198] = '\0';
        excerpt(buf, text_from(text));
        assert_int_equal(strlen(buf), shift == 0 ? 95 : 94);
        assert_string_equal(buf + strlen(buf) - 5, "\xc3\xa9...");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_meaning),
        cmocka_unit_test(test_refused_lines),
        cmocka_unit_test(test_well_formed_utf8_passes),
        cmocka_unit_test(test_line_limit),
        cmocka_unit_test(test_long_values_arrive_whole),
        cmocka_unit_test(test_file_limit),
        cmocka_unit_test(test_failing_read),
        cmocka_unit_test(test_errors_push_out_warnings),
        cmocka_unit_test(test_file_names_are_made_harmless),
        cmocka_unit_test(test_excerpts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
