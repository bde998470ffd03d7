/** Firewalls of hosts that work, as lines of a shell for iptables-nft and nft(8): as they are seen in the field. */
export const FIREWALLS: readonly {
  readonly name: string;
  readonly script: string;
  /** Whether a lab has no such pods, or hears of it as a doubt. */
  readonly isPlayedOnly?: true;
}[] = [
  {
    name: "Docker",
    script: `
      iptables -P FORWARD DROP
      for chain in DOCKER DOCKER-USER DOCKER-ISOLATION-STAGE-1 DOCKER-ISOLATION-STAGE-2; do iptables -N $chain; done
      iptables -A FORWARD -j DOCKER-USER
      iptables -A FORWARD -j DOCKER-ISOLATION-STAGE-1
      iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      iptables -A FORWARD -o docker0 -j DOCKER
      iptables -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
      iptables -A FORWARD -i docker0 -o docker0 -j ACCEPT
      iptables -A DOCKER-USER -j RETURN
      iptables -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
      iptables -A DOCKER-ISOLATION-STAGE-1 -j RETURN
      iptables -A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
      iptables -A DOCKER-ISOLATION-STAGE-2 -j RETURN
      iptables -t raw -A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP
      iptables -t nat -N DOCKER
      iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
      iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80`,
  },
  {
    name: "kube-proxy",
    script: `
      for chain in KUBE-FORWARD KUBE-SERVICES KUBE-EXTERNAL-SERVICES KUBE-FIREWALL KUBE-PROXY-FIREWALL; do iptables -N $chain; done
      iptables -A FORWARD -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL
      iptables -A FORWARD -j KUBE-FORWARD
      iptables -A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
      iptables -A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES
      iptables -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
      iptables -A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
      iptables -A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      iptables -A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m udp --dport 53 -j REJECT
      iptables -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
      for chain in KUBE-SERVICES KUBE-NODEPORTS KUBE-SVC-A KUBE-SEP-A KUBE-MARK-MASQ KUBE-POSTROUTING; do iptables -t nat -N $chain; done
      iptables -t nat -A PREROUTING -j KUBE-SERVICES
      iptables -t nat -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SVC-A
      iptables -t nat -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
      iptables -t nat -A KUBE-NODEPORTS -p tcp -m tcp --dport 30080 -j KUBE-SVC-A
      iptables -t nat -A KUBE-SVC-A ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp --dport 443 -j KUBE-MARK-MASQ
      iptables -t nat -A KUBE-SVC-A -j KUBE-SEP-A
      iptables -t nat -A KUBE-SEP-A -p tcp -j DNAT --to-destination 10.244.2.7:6443
      iptables -t nat -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
      iptables -t nat -A POSTROUTING -j KUBE-POSTROUTING
      iptables -t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
      iptables -t nat -A KUBE-POSTROUTING -j MASQUERADE`,
  },
  {
    name: "kube-proxy of nftables",
    script: `nft -f - <<'END'
      table ip kube-proxy {
        map firewall-ips { type ipv4_addr . inet_proto . inet_service : verdict; }
        map no-endpoint-services { type ipv4_addr . inet_proto . inet_service : verdict;
          elements = { 10.96.0.10 . udp . 53 : goto reject-chain } }
        map service-ips { type ipv4_addr . inet_proto . inet_service : verdict;
          elements = { 10.96.0.1 . tcp . 443 : goto service-a } }
        map service-nodeports { type inet_proto . inet_service : verdict; elements = { tcp . 30080 : goto service-a } }
        set cluster-ips { type ipv4_addr; elements = { 10.96.0.1, 10.96.0.10 } }
        set nodeport-ips { type ipv4_addr; elements = { 192.0.2.1 } }
        chain reject-chain {
          reject
        }
        chain cluster-ips-check {
          ip daddr @cluster-ips reject
          ip daddr { 10.96.0.0/16 } drop
        }
        chain firewall-check {
          ip daddr . meta l4proto . th dport vmap @firewall-ips
        }
        chain service-endpoints-check {
          ip daddr . meta l4proto . th dport vmap @no-endpoint-services
        }
        chain endpoint-a {
          meta l4proto tcp dnat to 10.244.2.7:6443
        }
        chain service-a {
          numgen random mod 1 vmap { 0 : goto endpoint-a }
        }
        chain services {
          ip daddr . meta l4proto . th dport vmap @service-ips
          ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
        }
        chain filter-prerouting {
          type filter hook prerouting priority -110
          ct state new jump firewall-check
        }
        chain filter-forward {
          type filter hook forward priority -110
          ct state new jump service-endpoints-check
          ct state new jump cluster-ips-check
        }
        chain nat-prerouting {
          type nat hook prerouting priority -100
          jump services
        }
      }
END`,
  },
  {
    name: "Calico's policy",
    script: `
      iptables -P FORWARD DROP
      for chain in cali-FORWARD cali-from-wl-dispatch cali-to-wl-dispatch cali-from-hep-forward cali-fw-cali1 cali-tw-cali1; do iptables -N $chain; done
      iptables -I FORWARD -j cali-FORWARD
      iptables -A FORWARD -m mark --mark 0x10000/0x10000 -j ACCEPT
      iptables -A FORWARD -j MARK --set-xmark 0x10000/0x10000
      iptables -A cali-FORWARD -j MARK --set-xmark 0x0/0xe0000
      iptables -A cali-FORWARD -m mark --mark 0x0/0x10000 -j cali-from-hep-forward
      iptables -A cali-FORWARD -i cali+ -j cali-from-wl-dispatch
      iptables -A cali-FORWARD -o cali+ -j cali-to-wl-dispatch
      iptables -A cali-from-wl-dispatch -i cali1 -g cali-fw-cali1
      iptables -A cali-from-wl-dispatch -j DROP
      iptables -A cali-to-wl-dispatch -o cali1 -g cali-tw-cali1
      iptables -A cali-to-wl-dispatch -j DROP
      iptables -A cali-fw-cali1 -m conntrack --ctstate INVALID -j DROP
      iptables -A cali-tw-cali1 -m mark --mark 0x0/0x10000 -j DROP
      iptables -t raw -N cali-PREROUTING
      iptables -t raw -A PREROUTING -j cali-PREROUTING
      iptables -t raw -A cali-PREROUTING -j MARK --set-xmark 0x0/0xf0000
      iptables -t raw -A cali-PREROUTING -i cali+ -j MARK --set-xmark 0x40000/0x40000`,
  },
  {
    name: "kube-router's policy",
    script: `
      for chain in KUBE-ROUTER-FORWARD KUBE-POD-FW-A KUBE-NWPLCY-DEFAULT; do iptables -N $chain; done
      iptables -I FORWARD -j KUBE-ROUTER-FORWARD
      iptables -A KUBE-ROUTER-FORWARD -d 10.244.1.7 -j KUBE-POD-FW-A
      iptables -A KUBE-ROUTER-FORWARD -s 10.244.1.7 -j KUBE-POD-FW-A
      iptables -A KUBE-ROUTER-FORWARD -m mark --mark 0x20000/0x20000 -j ACCEPT
      iptables -A KUBE-POD-FW-A -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      iptables -A KUBE-POD-FW-A -m mark ! --mark 0x10000/0x10000 -j REJECT
      iptables -A KUBE-POD-FW-A -j MARK --set-mark 0x20000/0x20000`,
  },
  {
    name: "firewalld with pods' networks trusted",
    script: `nft -f - <<'END'
      table inet firewalld {
        chain mangle_PREROUTING { type filter hook prerouting priority mangle + 10; jump mangle_PREROUTING_POLICIES; }
        chain mangle_PREROUTING_POLICIES { iifname "eth0" return; return; }
        chain nat_PREROUTING { type nat hook prerouting priority dstnat + 10; jump nat_PREROUTING_POLICIES; }
        chain nat_PREROUTING_POLICIES { iifname "eth0" return; return; }
        chain filter_PREROUTING { type filter hook prerouting priority filter + 10;
          icmpv6 type { nd-router-advert, nd-neighbor-solicit } accept
          meta nfproto ipv6 fib saddr . mark . iif oif missing drop
        }
        chain filter_FWD_trusted { accept; }
        chain filter_FORWARD_POLICIES {
          ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 goto filter_FWD_trusted
          ip6 saddr fd00:10:244::/56 goto filter_FWD_trusted
          reject with icmpx admin-prohibited
        }
        chain filter_FORWARD { type filter hook forward priority filter + 10;
          ct state { established, related } accept
          ct status dnat accept
          iifname "lo" accept
          ct state invalid drop
          jump filter_FORWARD_POLICIES
          reject with icmpx admin-prohibited
        }
      }
END`,
  },
  {
    name: "ufw",
    script: `
      iptables -P FORWARD DROP
      for chain in ufw-before-logging-forward ufw-before-forward ufw-user-forward ufw-after-forward ufw-reject-forward ufw-track-forward; do
        iptables -N $chain; iptables -A FORWARD -j $chain; done
      iptables -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      iptables -A ufw-before-forward -p icmp --icmp-type echo-request -j ACCEPT
      iptables -A ufw-before-forward -j ufw-user-forward
      iptables -A ufw-user-forward -p tcp -m multiport --dports 80,443 -j ACCEPT`,
  },
  {
    name: "fail2ban",
    script: `
      iptables -N f2b-sshd; iptables -A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
      iptables -A f2b-sshd -s 198.51.100.7 -j REJECT; iptables -A f2b-sshd -j RETURN
      nft add table inet f2b-table
      nft 'add set inet f2b-table banned { type ipv4_addr; }'
      nft 'add element inet f2b-table banned { 198.51.100.8 }'
      nft 'add chain inet f2b-table f2b-chain { type filter hook prerouting priority -1; }'
      nft add rule inet f2b-table f2b-chain ip saddr @banned drop`,
  },
  {
    name: "a firewall that lets through by a mark of what carries packets",
    // It is noted that its chain may refuse them.
    isPlayedOnly: true,
    script: `nft -f - <<'END'
      table inet marked {
        chain pre { type filter hook prerouting priority mangle; iifname "eth0" meta mark set 7; }
        chain forward { type filter hook forward priority filter; policy drop;
          iifname "cni0" accept
          meta mark 7 accept
        }
      }
END`,
  },
  {
    name: "a firewall that lets through by the kinds of links, and answers by their direction",
    script: `nft -f - <<'END'
      table inet kinds {
        chain forward { type filter hook forward priority filter; policy drop;
          ct direction reply accept
          meta iifkind "bridge" meta oifkind "vxlan" accept
          meta iifkind "vxlan" meta oifkind "bridge" accept
        }
      }
END`,
  },
  {
    name: "a set of pods that are let through",
    isPlayedOnly: true,
    script: `nft -f - <<'END'
      table inet guard {
        set pods { type ipv4_addr; elements = { 10.244.1.2, 10.244.1.3 } }
        set pods6 { type ipv6_addr; elements = { fd00:10:244:1::2 } }
        chain forward { type filter hook forward priority 10; policy drop;
          ip saddr @pods accept
          ip daddr @pods accept
          ip6 saddr @pods6 accept
          ip6 daddr @pods6 accept
        }
      }
END`,
  },
];
