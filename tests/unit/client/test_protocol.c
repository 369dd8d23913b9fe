/* systemd's protocol (https://systemd.io/PRESSURE/), rule by rule, through the public functions. What a
 * pressure file does is in test_psi.c. */
#include "client.h"

#define PAYLOAD "aGVsbG8AIQ==" /* "hello", NUL, "!" */
#define PAYLOAD_BYTES "hello\0!"
#define PAYLOAD_LENGTH 7

static struct stage s;

static int setup(void **state unused_)
{
    stage_init(&s);
    return 0;
}

static int teardown(void **state unused_)
{
    stage_deinit(&s);
    return 0;
}

static struct headroom_watch *watch(const char *path, const char *write)
{
    struct headroom_watch *w = NULL;

    (void)setenv("MEMORY_PRESSURE_WATCH", path, 1);
    if (write)
        (void)setenv("MEMORY_PRESSURE_WRITE", write, 1);
    assert_int_equal(headroom_watch_new(NULL, &w), 0);
    return w;
}

static int refusal(const char *path, char *error, size_t size)
{
    struct headroom_options o = {.size = sizeof(o), .error = error, .error_size = size};
    struct headroom_watch *w = NULL;
    int r;

    (void)setenv("MEMORY_PRESSURE_WATCH", path, 1);
    r = headroom_watch_new(&o, &w);
    assert_null(w);
    return r;
}

static void test_relative_path_is_refused(void **state unused_)
{
    char error[128];
    unsigned before = count_descriptors();

    assert_int_equal(refusal("memory.pressure", error, sizeof(error)), -EBADMSG);
    assert_string_equal(error, "$MEMORY_PRESSURE_WATCH=memory.pressure: not an absolute path");
    assert_int_equal(count_descriptors(), before);
}

static void test_write_must_be_base64(void **state unused_)
{
    char error[128];

    (void)setenv("MEMORY_PRESSURE_WRITE", "some 1 2", 1);
    assert_int_equal(refusal("/run/x", error, sizeof(error)), -EBADMSG);
    assert_string_equal(error, "$MEMORY_PRESSURE_WRITE=some 1 2: not base64");
}

static void test_dev_null_is_off(void **state unused_)
{
    struct headroom_watch *w = watch("/dev/null", PAYLOAD);
    enum headroom_level level = HEADROOM_CRITICAL;

    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_OFF);
    assert_string_equal(headroom_watch_get_path(w), "/dev/null");
    assert_false(wait_readable(headroom_watch_get_fd(w), 300));
    assert_int_equal(headroom_watch_read(w, &level), 0);
    assert_int_equal(level, HEADROOM_CALM);
    assert_null(headroom_watch_free(w));
}

static void test_socket(void **state unused_)
{
    const char *path = stage_path(&s, "/s");
    int listener = listen_at(path), server;
    struct headroom_watch *w = watch(path, PAYLOAD);
    char got[64];

    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_SOCKET);
    assert_string_equal(headroom_watch_get_path(w), path);
    server = accept_one(listener, SECOND);
    assert_int_equal(recv(server, got, sizeof(got), 0), PAYLOAD_LENGTH);
    assert_memory_equal(got, PAYLOAD_BYTES, PAYLOAD_LENGTH);
    assert_int_equal(recv(server, got, sizeof(got), MSG_DONTWAIT), -1); /* and not a byte more */
    assert_false(wait_readable(headroom_watch_get_fd(w), 100));

    tell(server, "x");
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_MEDIUM);
    assert_int_equal(headroom_watch_get_level(w), HEADROOM_MEDIUM);
    assert_false(wait_readable(headroom_watch_get_fd(w), 50)); /* taken */
    assert_null(headroom_watch_free(w));
    assert_int_equal(recv(server, got, sizeof(got), 0), 0);
    (void)close(server);
    (void)close(listener);
}

static void test_socket_without_payload(void **state unused_)
{
    const char *path = stage_path(&s, "/s");
    int listener = listen_at(path), server;
    struct headroom_watch *w = watch(path, NULL);
    char got[8];

    server = accept_one(listener, SECOND);
    assert_int_equal(recv(server, got, sizeof(got), MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

/* An address takes 107 bytes; a path may be longer. */
static void test_socket_with_a_long_path(void **state unused_)
{
    char long_path[256], name[128];
    const char *path = stage_path(&s, "/s");
    int listener = listen_at(path), server;
    struct headroom_watch *w;

    memset(name, 'n', 120);
    name[120] = '\0';
    (void)snprintf(long_path, sizeof(long_path), "%s/%s", s.root, name);
    assert_int_equal(rename(path, long_path), 0);
    w = watch(long_path, PAYLOAD);
    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_SOCKET);
    server = accept_one(listener, SECOND);
    (void)headroom_watch_free(w);
    (void)close(server);
    (void)close(listener);
}

static void test_socket_is_for_many(void **state unused_)
{
    const char *path = stage_path(&s, "/s");
    int listener = listen_at(path), server[2];
    struct headroom_watch *w[2];

    for (int i = 0; i < 2; i++) {
        w[i] = watch(path, NULL);
        server[i] = accept_one(listener, SECOND);
    }
    for (int i = 0; i < 2; i++) {
        tell(server[i], i == 0 ? "l" : "c");
        assert_int_equal(wait_level(w[i], 5 * SECOND), i == 0 ? HEADROOM_LOW : HEADROOM_CRITICAL);
        (void)headroom_watch_free(w[i]);
        (void)close(server[i]);
    }
    (void)close(listener);
}

static void test_fifo(void **state unused_)
{
    const char *path = stage_path(&s, "/f");
    struct headroom_watch *w;
    char got[64];
    int fd;

    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    w = watch(path, PAYLOAD);
    assert_int_equal(headroom_watch_get_source(w), HEADROOM_SOURCE_FIFO);
    assert_int_equal(read(fd, got, sizeof(got)), PAYLOAD_LENGTH);
    assert_memory_equal(got, PAYLOAD_BYTES, PAYLOAD_LENGTH);
    assert_false(wait_readable(headroom_watch_get_fd(w), 100));

    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_MEDIUM);
    (void)close(fd); /* no end of file: the next provider opens it again */
    assert_false(wait_readable(headroom_watch_get_fd(w), 200));
    fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(write(fd, "c", 1), 1);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_CRITICAL);
    (void)close(fd);
    (void)headroom_watch_free(w);
}

/* What goes into a FIFO comes out at whoever reads first, which may be us. */
static void test_fifo_does_not_answer_itself(void **state unused_)
{
    const char *path = stage_path(&s, "/f");
    struct headroom_watch *w;
    int fd;

    assert_int_equal(mkfifo(path, 0600), 0);
    w = watch(path, PAYLOAD);
    assert_int_equal(headroom_watch_read(w, NULL), 0);
    assert_int_equal(headroom_watch_get_level(w), HEADROOM_CALM);
    fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    assert_int_equal(write(fd, PAYLOAD_BYTES, PAYLOAD_LENGTH),
                     PAYLOAD_LENGTH); /* this one is somebody else's */
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_MEDIUM);
    (void)close(fd);
    (void)headroom_watch_free(w);
}

/* The echo and the first event in one read. */
static void test_fifo_event_behind_the_echo(void **state unused_)
{
    const char *path = stage_path(&s, "/f");
    struct headroom_watch *w;
    int fd;

    assert_int_equal(mkfifo(path, 0600), 0);
    fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    w = watch(path, PAYLOAD);
    assert_int_equal(write(fd, "l", 1), 1);
    assert_int_equal(wait_level(w, 5 * SECOND), HEADROOM_LOW);
    (void)close(fd);
    (void)headroom_watch_free(w);
}

static void test_other_files_are_refused(void **state unused_)
{
    char error[256];

    assert_int_equal(refusal(stage_write(&s, "/plain", PSI_LINE), error, sizeof(error)), -ENOTTY);
    assert_non_null(strstr(error, "/plain: neither a pressure file"));
    assert_int_equal(refusal(s.root, error, sizeof(error)), -ENOTTY);
    assert_int_equal(refusal("/dev/zero", error, sizeof(error)), -ENOTTY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_relative_path_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_write_must_be_base64, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dev_null_is_off, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_without_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_with_a_long_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_socket_is_for_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fifo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fifo_does_not_answer_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fifo_event_behind_the_echo, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_files_are_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
