#include "fixture.h"

#include "base/units.h"
#include "kernel/io_stat.h"

static const struct swap_disks disks = {.known = true, .count = 2, .names = {"254:16", "8:0"}};

static void test_values(void **state _unused_)
{
    static const struct {
        const char *in;
        int r;
        uint64_t written;
    } table[] = {
        {"", 0, 0}, /* nothing yet */
        {"254:16 rbytes=8192 wbytes=4096 rios=2 wios=1 dbytes=0 dios=0\n", 0, 4096},
        {"254:0 rbytes=1 wbytes=2 rios=2\n254:16 rbytes=8192 wbytes=4096\n8:0 rbytes=0 wbytes=3", 0, 4099},
        {"254:160 rbytes=8192 wbytes=4096\n25:16 wbytes=1\n4:16 wbytes=1\n", 0, 0}, /* other devices */
        {"8:0 dbytes=0 wbytes=7 cost.usage=12\n", 0, 7},
        {"8:0 wbytes=18446744073709551615\n254:16 wbytes=5\n", 0, UINT64_MAX},
        {"254:0 nonsense\n8:0 wbytes=1\n", 0, 1},
        {"8:0 rbytes=1\n", -EBADMSG, 0},
        {"8:0 wbytes=\n", -EBADMSG, 0},
        {"8:0 wbytes=1x\n", -EBADMSG, 0},
        {"8:0\n", -EBADMSG, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
        uint64_t written = 1234;
        int r = io_stat_parse(table[i].in, strlen(table[i].in), &disks, &written);

        if (r != table[i].r || written != (r < 0 ? 1234 : table[i].written))
            fail_msg("case %zu: %d, %ju", i, r, (uintmax_t)written);
    }
}

static void test_read(void **state)
{
    const struct fixture *f = *state;
    uint64_t written = 7;

    assert_int_equal(io_stat_read_at(f->fd, &disks, &written), -ENOENT); /* the controller is off */
    fixture_write(f, "io.stat", "");
    assert_int_equal(io_stat_read_at(f->fd, &disks, &written), 0);
    assert_int_equal(written, 0);
    fixture_write(f, "io.stat", "8:0 rbytes=0 wbytes=5\n");
    assert_int_equal(io_stat_read_at(f->fd, &disks, &written), 0);
    assert_int_equal(written, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test_setup_teardown(test_read, fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
