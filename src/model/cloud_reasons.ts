import type { ReasonWords } from "./reason.ts";

/** What is wrong with the routers of a cloud, or with the way to them, so that a host is not ready. */
export const BLOCKING_OF_CLOUD = {
  "cloud-route-missing": {
    cause: "The cloud's route tables do not lead packets for this host's pods here.",
    remedy:
      "Read why: a permission, a full table, or an interface or table that is not there; each look tries again.",
  },
  "cloud-network-overlaps": {
    cause: "The cluster network overlaps a prefix of the VPC, so that the VPC can't route to pods.",
    remedy: "Choose a network that is outside all prefixes of the VPC.",
  },
  "cloud-check-on": {
    cause: "The network interface checks source and destination, and so drops the packets of pods.",
    remedy: "Allow ec2:ModifyNetworkInterfaceAttribute, or turn the check off when the instance is made.",
  },
  "cloud-path-missing": {
    cause:
      "Pods can't use the network interface that the cloud leads packets for them to: what they answer is dropped.",
    remedy:
      "Do what the sentence says: the link is not there or down, or the kernel refuses a rule or route; each pass tries again.",
  },
} satisfies Record<string, ReasonWords>;

/** What is to be known of them beside that. */
export const DEGRADED_OF_CLOUD = {
  "cloud-path-taken": {
    cause: "A routing policy rule or route that is not Loden's takes packets of pods out by another link.",
    remedy: "Delete the rule or route that the sentence names, and end what adds it.",
  },
  "cloud-interface-unfit": {
    cause: "The link of the network interface that packets for pods come in by lacks a setting.",
    remedy: "Run the command of the sentence, or have the agent make its own interface.",
  },
  "cloud-route-foreign": {
    cause: "A route of the cloud's tables that is not Loden's takes packets for this host's pods.",
    remedy: "Delete the route that the sentence names, or give the network another range.",
  },
  "cloud-peers-missing": {
    cause: "The cloud's route tables have no working route to some other hosts' pods.",
    remedy: "Look at the agents of these hosts: each makes its own route.",
  },
  "cloud-not-answering": {
    cause: "The cloud can't be asked; its routes are as they were when it was asked last.",
    remedy: "Read why: a permission, credentials that have expired, or no way to the cloud's endpoint.",
  },
} satisfies Record<string, ReasonWords>;
