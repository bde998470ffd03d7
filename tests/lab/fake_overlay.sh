#!/bin/sh
# Stands for an agent where the overlay has to work: a VXLAN link made by hand, towards hosts 1 to 9, in the
# family of the underlay. LOST=N takes the route to host N away on all others.
set -e
for flag in "$@"; do
  case $flag in
  -subnet-file=*) file=${flag#-subnet-file=} ;;
  -log-file=*) exec >>"${flag#-log-file=}" 2>&1 ;;
  esac
done
host=${file%/subnet.env}
host=${host##*/h}
own=$(ip -o address show dev eth0 scope global | sed -n 's/.* inet6* \([^/]*\).*/\1/p')
at() { # underlay address of host $1
  case $own in
  192.0.2.*) echo "192.0.2.$1" ;;
  198.18.*) echo "198.18.$1.2" ;;
  2001:db8::*) echo "2001:db8::$1" ;;
  *) echo "2001:db8:$1::2" ;;
  esac
}
subnet() { # first address of the subnet of host $1, and what is behind it
  case $own in
  *:*) echo "fd00:10:244:$1::$2/64" ;;
  *) echo "10.244.$1.$2/24" ;;
  esac
}
only=$(subnet "$host" 0)
ip link add flannel.1 mtu 1430 address "0e:2a:00:00:00:0$host" type vxlan id 1 local "$own" dev eth0 dstport 8472 nolearning
ip link set flannel.1 up
ip address add "${only%/*}/$(case $own in *:*) echo 128 ;; *) echo 32 ;; esac)" dev flannel.1
for peer in 1 2 3 4 5 6 7 8 9; do
  if [ "$peer" = "$host" ] || [ "$peer" = "$LOST" ]; then continue; fi
  next=$(subnet "$peer" 0)
  bridge fdb append "0e:2a:00:00:00:0$peer" dev flannel.1 dst "$(at "$peer")"
  ip neighbour replace "${next%/*}" lladdr "0e:2a:00:00:00:0$peer" dev flannel.1 nud permanent
  ip route replace "$next" via "${next%/*}" dev flannel.1 onlink
done
echo '{"event":"overlay made"}'
case $own in *:*) name=FLANNEL_IPV6_SUBNET ;; *) name=FLANNEL_SUBNET ;; esac
printf '%s=%s\nFLANNEL_MTU=1430\n' "$name" "$(subnet "$host" 1)" >"$file.new"
mv "$file.new" "$file"
exec sleep 600
