# vm: memory=1024 cpus=2 swap=disk:1G timeout=240
# SwapWriteLimit=1M: the adaptive law, which would write 4 MiB a second to the disk, stays under it over any minute, and
# the kernel without swappiness= (6.1) is not asked for what might be written.
. /lib.sh
: "${BYTES:=400M}" "${HOT:=120M}" "${RATE:=200}" "${SECONDS_ON:=120}"

service_config /tmp/headroom.conf "OffloadRatio=adaptive"
sed -i "s/^\[Class service\]/SwapWriteLimit=1M\n&/" /tmp/headroom.conf
check "the service is up" service_start || finish
check "headroomd starts" start_headroomd --debug --config /tmp/headroom.conf || finish
for second in $(seq "$SECONDS_ON"); do
    echo "$(uptime_msec) $(awk '$1 == "pswpout" { print $2 * 4096 }' /proc/vmstat)"
    sleep 1
done >/tmp/written.txt
figure written_bytes "$(awk 'NR == 1 { first = $2 } { last = $2 } END { print last - first }' /tmp/written.txt)"
# The most of any 60 s, a second.
most=$(awk '{ at[NR] = $1; bytes[NR] = $2
        for (i = 1; i < NR; i++)
            if ($1 - at[i] >= 59000) { r = ($2 - bytes[i]) * 1000 / ($1 - at[i]); if (r > most) most = r } }
    END { printf "%.0f", most }' /tmp/written.txt)
figure most_bytes_per_second "$most"
check "at most 1.2 MiB a second over any minute" [ "$most" -le $((12 * 1048576 / 10)) ]
check "something is written" [ "$most" -gt 65536 ]
check "headroomd stops when it is told to" stop_headroomd
service_stop
finish
