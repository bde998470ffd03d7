import type { PlannedChange } from "../../model/host_plan.ts";
import type { Ec2Parameters } from "./ec2_client.ts";

/** Says what a call that changes something would change, in the words of a plan. */
export function callChange(action: string, parameters: Ec2Parameters): PlannedChange {
  const kind = "cloud route";
  const text = (name: string) => typeof parameters[name] === "string" ? parameters[name] : "";
  const table = text("RouteTableId");
  const destination = text("DestinationCidrBlock") || text("DestinationIpv6CidrBlock");
  const object = `cloud route ${destination} in ${table}`;
  const to = `to ${text("NetworkInterfaceId")}`;
  switch (action) {
    case "CreateRoute":
      return { kind, object, becomes: to };
    case "ReplaceRoute":
      return { kind, object, was: "to another target", becomes: to };
    case "DeleteRoute":
      return { kind, object, was: "" };
    case "CreateNetworkInterface":
      return { kind, object: "cloud interface", becomes: `in ${text("SubnetId")}` };
    case "AttachNetworkInterface":
      return {
        kind,
        object: `cloud interface ${text("NetworkInterfaceId")}`,
        was: "free",
        becomes: "attached",
      };
    case "ModifyNetworkInterfaceAttribute":
      return {
        kind,
        object: `cloud interface ${text("NetworkInterfaceId")} ${
          parameters["SourceDestCheck"] === undefined ? "goes with its instance" : "source/destination check"
        }`,
        was: parameters["SourceDestCheck"] === undefined ? "no" : "on",
        becomes: parameters["SourceDestCheck"] === undefined ? "yes" : "off",
      };
    default:
      return {
        kind,
        object: `cloud interface ${text("NetworkInterfaceId")}`,
        was: "",
        becomes: `after ${action}`,
      };
  }
}
