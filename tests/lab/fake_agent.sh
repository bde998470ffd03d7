#!/bin/sh
# Stands for an agent: takes the subnet that the number of its host says, prints a line, and waits.
for flag in "$@"; do
  case $flag in
  -subnet-file=*) file=${flag#-subnet-file=} ;;
  -log-file=*) exec >>"${flag#-log-file=}" 2>&1 ;;
  esac
done
host=${file%/subnet.env}
host=${host##*/h}
echo "{\"event\":\"subnet taken\",\"host\":$host}"
{
  echo "FLANNEL_SUBNET=10.244.$host.1/24"
  if grep -q EnableIPv6 "${file%/h*}/net-conf.json"; then echo "FLANNEL_IPV6_SUBNET=fd00:10:244:$host::1/64"; fi
  echo "FLANNEL_MTU=1430"
} >"$file.new"
mv "$file.new" "$file"
exec sleep 600
