/* The file of PodFile=: what a line says, and what a bad one costs. */
#include "load.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/units.h"
#include "config/pods.h"

#define UID "0c8c8dc3-1a2b-4c3d-8e9f-00000000000"

static char directory[] = "/tmp/headroom-pods-XXXXXX", path[sizeof(directory) + 8];
static struct config c;
static struct config_messages messages;

static void write_file(const char *text, size_t length)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, length, f), length);
    assert_int_equal(fclose(f), 0);
}

static void read_text(const char *text)
{
    write_file(text, strlen(text));
    messages.count = messages.errors = 0;
    pods_read(&c, &messages);
    assert_int_equal(messages.errors, 0);
}

static int setup(void **state)
{
    (void)state;
    memcpy(directory + sizeof(directory) - 7, "XXXXXX", 6);
    if (!mkdtemp(directory))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/pods", directory);
    write_file("", 0);
    config_init_defaults(&c);
    (void)snprintf(c.pod_file, sizeof(c.pod_file), "%s", path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(directory);
}

static void test_lines(void **state)
{
    const struct pod_config *pod;

    (void)state;
    read_text("# uid priority request\n\n" UID "2 - 512M # later\n"
              "0c8c8dc3_1a2b_4c3d_8e9f_000000000001\t900   2G\r\n" UID "3 0\n"
              "0123456789abcdef0123456789abcdef 1000 0");
    assert_int_equal(messages.count, 0);
    assert_int_equal(c.pod_count, 4);
    pod = config_pod(&c, UID "1");
    assert_true(pod && pod->has_priority && pod->priority == 900 && pod->has_request &&
                pod->request_bytes == 2 * GIB);
    pod = config_pod(&c, UID "2");
    assert_true(pod && !pod->has_priority && pod->has_request && pod->request_bytes == 512 * MIB);
    pod = config_pod(&c, UID "3");
    assert_true(pod && pod->has_priority && pod->priority == 0 && !pod->has_request);
    pod = config_pod(&c, "0123456789abcdef0123456789abcdef");
    assert_true(pod && pod->has_request && pod->request_bytes == 0);
    assert_null(config_pod(&c, UID "4"));
    assert_null(config_pod(&c, ""));
    read_text("");
    assert_int_equal(c.pod_count, 0);
}

static void test_bad_lines(void **state)
{
    static const struct {
        const char *line, *said;
    } rows[] = {
        {"nobody 1 1M", "nobody is no pod's uid"},
        {UID "1-and-much-more 1 1M", "no pod's uid"},
        {UID "1", "no priority"},
        {UID "1 1001 1M", "no priority"},
        {UID "1 -1 1M", "no priority"},
        {UID "1 1 1", "1 is no size"},
        {UID "1 1 1M more", "more is one word too many"},
        {UID "9 1 1M", "an earlier line"},
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        (void)snprintf(text, sizeof(text), UID "9 7\n%s\n" UID "8 8\n", rows[i].line);
        read_text(text);
        assert_int_equal(messages.count, 1);
        assert_true(messages.warning[0]);
        assert_true(strncmp(messages.text[0], path, strlen(path)) == 0);
        assert_true(strncmp(messages.text[0] + strlen(path), ":2: ", 4) == 0);
        if (!strstr(messages.text[0], rows[i].said))
            fail_msg("%s: %s", rows[i].line, messages.text[0]);
        assert_int_equal(c.pod_count, 2);
        assert_int_equal(config_pod(&c, UID "8")->priority, 8);
    }
}

static void test_bounds(void **state)
{
    size_t length = 0, size = 2 * PODS_FILE_MAX;
    char *text = calloc(1, size);

    (void)state;
    assert_non_null(text);
    for (unsigned i = 0; i < CONFIG_PODS_MAX + 2; i++)
        length += (size_t)snprintf(text + length, size - length, "%x 1\n", i + 1);
    read_text(text);
    assert_int_equal(c.pod_count, CONFIG_PODS_MAX);
    assert_int_equal(messages.count, 2);
    for (unsigned i = 0; i < CONFIG_PODS_MAX; i++) {
        (void)snprintf(text, size, "%x", i + 1);
        assert_non_null(config_pod(&c, text));
    }
    memset(text, '\n', size - 1);
    text[size - 1] = '\0';
    memcpy(text, "1 1", 3);
    read_text(text);
    assert_int_equal(c.pod_count, 0);
    assert_non_null(strstr(messages.text[0], "Is longer than"));
    free(text);
}

/* A file that anybody may write is nobody's word; one that is not there may come. */
static void test_whose(void **state)
{
    (void)state;
    read_text("1 1\n");
    assert_int_equal(c.pod_count, 1);
    assert_int_equal(chmod(path, 0622), 0);
    read_text("1 1\n");
    assert_int_equal(c.pod_count, 0);
    assert_non_null(strstr(messages.text[0], "Others than root may write it."));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(chmod(directory, 01777), 0); /* he may put another one there */
    read_text("1 1\n");
    assert_int_equal(c.pod_count, 0);
    assert_non_null(strstr(messages.text[0], "Others than root may write its directory."));
    assert_int_equal(chmod(directory, 0700), 0);
    (void)snprintf(c.pod_file, sizeof(c.pod_file), "/tmp");
    read_text("");
    assert_non_null(strstr(messages.text[0], "not a regular file"));
    (void)snprintf(c.pod_file, sizeof(c.pod_file), "%s-not-there", path);
    read_text("");
    assert_int_equal(messages.count, 0);
}

/* Whatever is in it, the messages name it and the pods are sorted. */
static void test_litter(void **state)
{
    static const char parts[][24] = {"0c8c8dc3-1a2b", "1 ", "\n", "# ", "- ", "999 ",
                                     "1M ",           "\t", "\1", "_f", "G",  " "};
    char text[1024];
    uint64_t seed = 7;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        size_t length = 0;

        while (length < sizeof(text) - 48) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407U;
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%.23s",
                                       parts[(seed >> 33) % ARRAY_SIZE(parts)]);
            if ((seed >> 60) == 0)
                break;
        }
        read_text(text);
        for (unsigned i = 1; i < c.pod_count; i++)
            assert_true(strcmp(c.pods[i - 1].uid, c.pods[i].uid) < 0);
        for (unsigned i = 0; i < messages.count; i++)
            assert_true(strncmp(messages.text[i], path, strlen(path)) == 0);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines), TEST(test_bad_lines), TEST(test_bounds), TEST(test_whose), TEST(test_litter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
