# What both kinds of PID 1 (init, init-host) and what runs at the end share. Needs lib.sh.

command_line_value() { # NAME DEFAULT
    for word in $(cat /proc/cmdline); do
        case $word in "$1="*) echo "${word#*=}"; return ;; esac
    done
    echo "$2"
}

load_feature() { # FEATURE: modules in their order; one that is there already, or built in, is no error
    [ -e /modules/order ] || return 0
    while read -r feature module; do
        [ "$feature" = "$1" ] || continue
        [ -e "/modules/$module" ] || continue
        [ -d "/sys/module/${module%.ko}" ] || insmod "/modules/$module"
    done </modules/order
}

disk_by_serial() {
    for disk in /sys/block/vd*; do
        [ "$(cat "$disk/serial" 2>/dev/null)" = "$1" ] && { echo "/dev/${disk##*/}"; return 0; }
    done
    return 1
}

swap_on() { # DEVICE
    mkswap "$1" >/dev/null && swapon "$1"
}

swap_setup() { # none | disk:SIZE | zram:SIZE | zswap:SIZE
    case $1 in
    none) return 0 ;;
    disk:*) swap_on "$(disk_by_serial swap)" ;;
    zswap:*)
        parameters=/sys/module/zswap/parameters
        echo zsmalloc >$parameters/zpool 2>/dev/null
        echo lz4 >$parameters/compressor 2>/dev/null || echo zstd >$parameters/compressor 2>/dev/null
        echo 1 >$parameters/enabled && swap_on "$(disk_by_serial swap)"
        ;;
    zram:*)
        echo lz4 >/sys/block/zram0/comp_algorithm 2>/dev/null
        echo "${1#zram:}" >/sys/block/zram0/disksize && swap_on /dev/zram0
        ;;
    *) return 1 ;;
    esac
}

load_features() {
    for feature in $(command_line_value headroom.features "" | tr ',' ' '); do
        load_feature "$feature"
    done
}

disks_setup() {
    swap=$(command_line_value headroom.swap none)
    swap_setup "$swap" || emit "not ok - guest has swap as asked: $swap"
    data_disk=$(disk_by_serial data) && ln -s "$data_disk" /dev/data
}

bring_out_all() {
    dmesg >/tmp/dmesg.log
    for file in /tmp/*.log /tmp/*.json /tmp/*.conf /tmp/*.txt; do
        [ -s "$file" ] && bring_out "$file"
    done
}

power_off() {
    sync
    poweroff -f
    sleep 60
}

# The host gives up a little later; until then what the guest knows about a hang can still be brought out.
watchdog() { # SECONDS
    sleep "$1"
    emit "timeout"
    echo w >/proc/sysrq-trigger
    bring_out_all
    power_off
}
