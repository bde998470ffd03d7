import { assertEquals, assertThrows } from "@std/assert";
import { ConflistError, renderConflist, USUAL_CONFLIST } from "../../src/pods/conflist.ts";
import {
  flannelConflist,
  flannelNetConf,
  flannelState,
  isRenderedFor,
} from "../../src/pods/flannel_conflist.ts";
import { readSettings } from "../../src/pods/settings.ts";
import { readSubnetEnv } from "../../src/pods/subnet_env.ts";

const IPV4 =
  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
const DUAL = `${IPV4}FLANNEL_IPV6_NETWORK=fd00:10:244::/56\nFLANNEL_IPV6_SUBNET=fd00:10:244:1::1/64\n`;
const ALONE = IPV4.replace("FLANNEL_IPMASQ=true", "FLANNEL_IPMASQ=false");

/** A conflist with one plugin `flannel`, and one behind it. */
const list = (plugin: Record<string, unknown>) =>
  JSON.stringify({
    name: "cbr0",
    cniVersion: "0.3.1",
    plugins: [{ type: "flannel", ...plugin }, { type: "portmap" }],
  });

const sources: readonly (readonly [name: string, source: string, variables?: Record<string, string>])[] = [
  ["flannel's own", USUAL_CONFLIST],
  ["nothing said", list({})],
  ["a delegate's key", list({ delegate: { hairpinMode: true, bridge: "br7", mtu: 1400 } })],
  ["ipMasq by the delegate", list({ delegate: { ipMasq: true } })],
  ["no gateway", list({ delegate: { isGateway: false } })],
  ["another delegate", list({ delegate: { type: "ptp" } })],
  ["ipam's keys", list({ ipam: { dataDir: "/x", routes: [{ dst: "1.2.3.0/24", gw: "10.244.1.9" }] } })],
  ["another ipam", list({ ipam: { type: "static" } })],
  ["capabilities", list({ capabilities: { mac: true } })],
  ["the plugin's own MTU", list({}), { FLANNEL_CNI_MTU: "1300", FLANNEL_CNI_IP_MASQ: "true" }],
];

for (const [name, source, variables = {}] of sources) {
  for (const env of [IPV4, DUAL, ALONE].map((text) => readSubnetEnv(text, "/s"))) {
    Deno.test(`flannelConflist() makes of a rendered conflist one that renders to the same: ${name}, ${env.subnets.length} subnets`, () => {
      const settings = readSettings(variables);
      const rendered = renderConflist(source, settings, env);
      const restored = flannelConflist(rendered, settings, env);
      assertEquals(isRenderedFor(rendered, env), true);
      assertEquals(JSON.parse(restored).renderedBy, undefined);
      assertEquals(JSON.parse(restored).plugins.map(({ type }: { type: string }) => type), [
        "flannel",
        "portmap",
      ]);
      assertEquals(JSON.parse(renderConflist(restored, settings, env)), JSON.parse(rendered));
      assertEquals(
        flannelState(flannelNetConf(restored)!, settings, env),
        flannelState(flannelNetConf(source)!, settings, env),
        "and a pod's state is the same",
      );
    });
  }
}

Deno.test("flannelConflist() gives flannel's own conflist back as it is", () => {
  const env = readSubnetEnv(DUAL, "/s");
  const restored = flannelConflist(
    renderConflist(USUAL_CONFLIST, readSettings({}), env),
    readSettings({}),
    env,
  );
  assertEquals(JSON.parse(restored), JSON.parse(USUAL_CONFLIST));
});

Deno.test("flannelConflist() refuses what was rendered for other subnets", () => {
  const rendered = renderConflist(USUAL_CONFLIST, readSettings({}), readSubnetEnv(IPV4, "/s"));
  const other = readSubnetEnv(IPV4.replace("10.244.1.1", "10.244.7.1"), "/s");
  assertEquals([isRenderedFor(rendered, other), isRenderedFor("{", other)], [false, false]);
  assertThrows(() => flannelConflist(rendered, readSettings({}), other), ConflistError, "this host's subnet");
});

Deno.test("flannelNetConf() finds no plugin flannel where there is none", () => {
  assertEquals(flannelNetConf('{"name":"n","plugins":[{"type":"bridge"}]}'), undefined);
});

/**
 * What flannel's plugin 1.9 has kept of a pod in /var/lib/cni/flannel: `flannel` with CNI_COMMAND=ADD, the first plugin
 * of `source` with the list's name and version on standard input, and DUAL in the subnet file.
 */
const STATE = '{"cniVersion":"0.3.1","hairpinMode":true,"ipMasq":false,"ipam":{"dataDir":"/nets","ranges":' +
  '[[{"subnet":"10.244.1.0/24"}],[{"subnet":"fd00:10:244:1::/64"}]],"routes":[{"dst":"10.244.0.0/16"},' +
  '{"dst":"fd00:10:244::/56"}],"type":"host-local"},"isDefaultGateway":true,"isGateway":true,"mtu":1450,' +
  '"name":"cbr0","type":"bridge"}';

Deno.test("flannelState() is byte by byte what flannel's plugin keeps", () => {
  const source = list({
    ipam: { dataDir: "/nets" },
    delegate: { hairpinMode: true, isDefaultGateway: true },
  });
  assertEquals(flannelState(flannelNetConf(source)!, readSettings({}), readSubnetEnv(DUAL, "/s")), STATE);
});
