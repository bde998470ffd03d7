import { assertEquals, assertThrows } from "@std/assert";
import { ec2Endpoint } from "../../../src/cloud/aws/endpoint.ts";

const FIPS = { AWS_USE_FIPS_ENDPOINT: "true" };
const DUAL = { AWS_USE_DUALSTACK_ENDPOINT: "true" };

const cases: readonly [region: string, environment: Record<string, string>, url: string, why: string][] = [
  ["eu-west-1", {}, "https://ec2.eu-west-1.amazonaws.com/", "most regions"],
  ["us-gov-west-1", {}, "https://ec2.us-gov-west-1.amazonaws.com/", "the government's are like them"],
  ["cn-north-1", {}, "https://ec2.cn-north-1.amazonaws.com.cn/", "China has a domain of its own"],
  ["us-iso-east-1", {}, "https://ec2.us-iso-east-1.c2s.ic.gov/", "so have the isolated ones"],
  ["us-isob-east-1", {}, "https://ec2.us-isob-east-1.sc2s.sgov.gov/", "each"],
  ["us-isof-south-1", {}, "https://ec2.us-isof-south-1.csp.hci.ic.gov/", "another"],
  ["eu-isoe-west-1", {}, "https://ec2.eu-isoe-west-1.cloud.adc-e.uk/", "another"],
  ["eusc-de-east-1", {}, "https://ec2.eusc-de-east-1.amazonaws.eu/", "the European one"],
  ["eu-west-1", DUAL, "https://ec2.eu-west-1.api.aws/", "a host may have IPv6 alone"],
  ["cn-north-1", DUAL, "https://ec2.cn-north-1.api.amazonwebservices.com.cn/", "in China"],
  ["us-east-1", FIPS, "https://ec2-fips.us-east-1.amazonaws.com/", "certified cryptography"],
  ["us-east-1", { ...FIPS, ...DUAL }, "https://ec2-fips.us-east-1.api.aws/", "both"],
  [
    "us-east-1",
    { AWS_USE_FIPS_ENDPOINT: "TRUE" },
    "https://ec2-fips.us-east-1.amazonaws.com/",
    "in any case",
  ],
  [
    "us-east-1",
    { AWS_USE_FIPS_ENDPOINT: "false" },
    "https://ec2.us-east-1.amazonaws.com/",
    "false is a word too",
  ],
  [
    "us-east-1",
    { AWS_ENDPOINT_URL: "http://localhost:4566" },
    "http://localhost:4566/",
    "one for all services",
  ],
  [
    "us-east-1",
    { AWS_ENDPOINT_URL: "http://a", AWS_ENDPOINT_URL_EC2: "https://vpce-1.ec2.us-east-1.vpce.amazonaws.com" },
    "https://vpce-1.ec2.us-east-1.vpce.amazonaws.com/",
    "the service's own is stronger",
  ],
  [
    "us-east-1",
    { AWS_ENDPOINT_URL: "http://a", AWS_ENDPOINT_URL_EC2: "" },
    "http://a/",
    "an empty one says nothing",
  ],
  [
    "us-east-1",
    { ...FIPS, AWS_ENDPOINT_URL_EC2: "https://b/ec2" },
    "https://b/ec2",
    "a URL is taken as it is",
  ],
  [
    "us-east-1",
    {
      AWS_ENDPOINT_URL: "http://a",
      AWS_ENDPOINT_URL_EC2: "no URL",
      AWS_IGNORE_CONFIGURED_ENDPOINT_URLS: "true",
    },
    "https://ec2.us-east-1.amazonaws.com/",
    "all may be ignored",
  ],
];

for (const [region, environment, url, why] of cases) {
  Deno.test(`ec2Endpoint() is ${url} for ${region} and ${JSON.stringify(environment)}: ${why}`, () => {
    assertEquals(ec2Endpoint(region, environment), url);
  });
}

const wrong: readonly [region: string, environment: Record<string, string>, message: string][] = [
  [
    "us-east-1",
    { AWS_ENDPOINT_URL_EC2: "localhost:4566" },
    "Cannot use AWS_ENDPOINT_URL_EC2: must be a URL as https://ec2.eu-west-1.amazonaws.com",
  ],
  [
    "us-east-1",
    { AWS_ENDPOINT_URL: "file:///etc/passwd" },
    "Cannot use AWS_ENDPOINT_URL: must be a URL as https://ec2.eu-west-1.amazonaws.com",
  ],
  ["eu west 1", {}, 'Cannot use the region "eu west 1": must be one as eu-west-1'],
  ["evil.example/", {}, 'Cannot use the region "evil.example/": must be one as eu-west-1'],
  ["", {}, 'Cannot use the region "": must be one as eu-west-1'],
];

for (const [region, environment, message] of wrong) {
  Deno.test(`ec2Endpoint() refuses "${region}" with ${JSON.stringify(environment)} in a sentence`, () => {
    assertEquals(assertThrows(() => ec2Endpoint(region, environment), Error).message, message);
  });
}
