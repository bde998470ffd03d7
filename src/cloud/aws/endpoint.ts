const REGION = /^[a-z]{2,4}(-[a-z]+)+-\d{1,2}$/;

type Environment = Readonly<Record<string, string | undefined>>;

const isOn = (text: string | undefined): boolean => text?.toLowerCase() === "true";

/** The domain of a region's services, by how the region's name begins. */
const DOMAINS: readonly (readonly [start: string, domain: string, dualStack: string])[] = [
  ["cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"],
  ["us-isob-", "sc2s.sgov.gov", "api.aws.scloud"],
  ["us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"],
  ["us-iso-", "c2s.ic.gov", "api.aws.ic.gov"],
  ["eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"],
  ["eusc-", "amazonaws.eu", "api.amazonwebservices.eu"],
  ["", "amazonaws.com", "api.aws"],
];

/**
 * Where EC2 of a region answers: what the environment names for EC2, for all services, or what AWS documents.
 *
 * Source: AWS SDKs and tools reference guide, "Service-specific endpoints", "Dual-stack and FIPS endpoints".
 *
 * @throws {Error} If what the environment names is no URL, or the region is none.
 */
export function ec2Endpoint(region: string, environment: Environment): string {
  const isIgnored = isOn(environment["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]);
  for (const name of isIgnored ? [] : ["AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL"]) {
    const text = environment[name];
    if (text === undefined || text === "") continue;
    if (!URL.canParse(text) || !/^https?:/i.test(text)) {
      throw new Error(`Cannot use ${name}: must be a URL as https://ec2.eu-west-1.amazonaws.com`);
    }
    return new URL(text).href;
  }
  // Signed requests go where it says.
  if (!REGION.test(region)) {
    throw new Error(`Cannot use the region ${JSON.stringify(region)}: must be one as eu-west-1`);
  }
  const [, plain, dual] = DOMAINS.find(([start]) => region.startsWith(start))!;
  const service = isOn(environment["AWS_USE_FIPS_ENDPOINT"]) ? "ec2-fips" : "ec2";
  const domain = isOn(environment["AWS_USE_DUALSTACK_ENDPOINT"]) ? dual : plain;
  return `https://${service}.${region}.${domain}/`;
}
