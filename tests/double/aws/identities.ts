import { AwsError } from "./aws_error.ts";
import { isLike } from "./filters.ts";
import type { PolicyDocument } from "./policy.ts";
import { parseJwt } from "./web_identity.ts";

/** What a request is signed with. */
export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary ones only. */
  readonly sessionToken?: string;
  readonly expiresAt?: Date;
}

/** Which tokens of which provider may become a role. */
export interface Trust {
  readonly issuer: string;
  readonly audience: string;
  /** May have `*`, as in StringLike. */
  readonly subject: string;
}

/** A user or a role. */
interface Principal {
  readonly kind: "user" | "role";
  readonly name: string;
  policies: readonly PolicyDocument[];
  trust: Trust | undefined;
}

/** Who signed a request. */
export interface Caller {
  readonly arn: string;
  readonly userId: string;
  readonly policies: readonly PolicyDocument[];
}

interface Key {
  readonly credentials: Credentials;
  readonly principal: Principal;
  readonly sessionName: string | undefined;
}

/** AWS's own bounds of a session that STS makes. */
const SESSION_SECONDS = { min: 900, standard: 3600, max: 43_200 } as const;

/** Who there is in the account, with which policies and keys. */
export class Identities {
  readonly #account: string;
  readonly #now: () => number;
  readonly #principals = new Map<string, Principal>();
  readonly #keys = new Map<string, Key>();
  #serial = 0;

  constructor(account: string, now: () => number) {
    this.#account = account;
    this.#now = now;
  }

  /** Adds a user, with a key that does not expire. */
  addUser(name: string, policies: readonly PolicyDocument[]): Credentials {
    const principal: Principal = { kind: "user", name, policies, trust: undefined };
    this.#principals.set(name, principal);
    const credentials = {
      accessKeyId: this.#newKeyId("AKIA"),
      secretAccessKey: crypto.randomUUID().replaceAll("-", "/"),
    };
    this.#keys.set(credentials.accessKeyId, { credentials, principal, sessionName: undefined });
    return credentials;
  }

  /** Adds a role; gives its ARN. */
  addRole(name: string, policies: readonly PolicyDocument[], trust?: Trust): string {
    this.#principals.set(name, { kind: "role", name, policies, trust });
    return this.roleArn(name);
  }

  /** Has a user or role be allowed what these policies say, from the next request on. */
  setPolicies(name: string, policies: readonly PolicyDocument[]): void {
    this.#named(name).policies = policies;
  }

  /** Makes temporary credentials of a role, of any life, asking nothing. */
  issue(roleName: string, sessionName: string, lifeSeconds: number): Required<Credentials> {
    const principal = this.#named(roleName);
    const credentials = {
      accessKeyId: this.#newKeyId("ASIA"),
      secretAccessKey: crypto.randomUUID().replaceAll("-", "+"),
      sessionToken: btoa(crypto.randomUUID().repeat(3)),
      expiresAt: new Date(this.#now() + lifeSeconds * 1000),
    };
    this.#keys.set(credentials.accessKeyId, { credentials, principal, sessionName });
    return credentials;
  }

  /** Has temporary credentials be at their end now. */
  expire(accessKeyId: string): void {
    const key = this.#keys.get(accessKeyId)!;
    const credentials = { ...key.credentials, expiresAt: new Date(this.#now() - 1000) };
    this.#keys.set(accessKeyId, { ...key, credentials });
  }

  /** Has all temporary credentials be at their end now. */
  expireAll(): void {
    for (const [id, { credentials }] of this.#keys) if (credentials.expiresAt !== undefined) this.expire(id);
  }

  /** The key with this id, and whose it is. */
  find(accessKeyId: string): { readonly credentials: Credentials; readonly caller: Caller } | undefined {
    const key = this.#keys.get(accessKeyId);
    return key && { credentials: key.credentials, caller: this.#callerOf(key) };
  }

  /**
   * AssumeRoleWithWebIdentity.
   *
   * @throws {AwsError} If the token is not right, or not trusted.
   */
  assumeWithToken(
    { roleArn, sessionName, token, seconds = SESSION_SECONDS.standard }: {
      readonly roleArn: string;
      readonly sessionName: string;
      readonly token: string;
      readonly seconds: number | undefined;
    },
  ): {
    readonly credentials: Required<Credentials>;
    readonly caller: Caller;
    readonly trust: Trust;
    readonly subject: string;
  } {
    if (!/^[\w+=,.@-]{2,64}$/.test(sessionName)) {
      throw new AwsError(
        "ValidationError",
        `Value '${sessionName}' at 'roleSessionName' failed to satisfy constraint`,
      );
    }
    if (seconds < SESSION_SECONDS.min || seconds > SESSION_SECONDS.max) {
      throw new AwsError(
        "ValidationError",
        `Value '${seconds}' at 'durationSeconds' failed to satisfy constraint`,
      );
    }
    const claims = parseJwt(token);
    if (claims === undefined) {
      throw new AwsError("InvalidIdentityToken", "The ID Token provided is not a valid JWT.");
    }
    const providers = [...this.#principals.values()].flatMap(({ trust }) => trust ?? [])
      .filter(({ issuer }) => issuer === claims.issuer);
    if (providers.length === 0) {
      throw new AwsError(
        "InvalidIdentityToken",
        `No OpenIDConnect provider found in your account for ${claims.issuer}`,
      );
    }
    if (!claims.isGenuine) {
      throw new AwsError("InvalidIdentityToken", "Couldn't verify the signature of the web identity token");
    }
    const nowSeconds = Math.floor(this.#now() / 1000);
    if (claims.expiresAtSeconds <= nowSeconds) {
      throw new AwsError(
        "ExpiredTokenException",
        `Token expired: current date/time ${nowSeconds} must be before the expiration date/time ${claims.expiresAtSeconds}`,
      );
    }
    if (!providers.some(({ audience }) => claims.audiences.includes(audience))) {
      throw new AwsError("InvalidIdentityToken", "Incorrect token audience");
    }
    const role = [...this.#principals.values()].find(({ kind, name }) =>
      kind === "role" && this.roleArn(name) === roleArn
    );
    const trust = role?.trust;
    const isTrusted = trust !== undefined && trust.issuer === claims.issuer &&
      claims.audiences.includes(trust.audience) && isLike(claims.subject, trust.subject);
    if (!isTrusted) {
      throw new AwsError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403);
    }
    const credentials = this.issue(role!.name, sessionName, seconds);
    return {
      credentials,
      caller: this.find(credentials.accessKeyId)!.caller,
      trust,
      subject: claims.subject,
    };
  }

  roleArn(name: string): string {
    return `arn:aws:iam::${this.#account}:role/${name}`;
  }

  #named(name: string): Principal {
    const principal = this.#principals.get(name);
    if (principal === undefined) throw new TypeError(`Cannot find user or role ${name}`);
    return principal;
  }

  #callerOf({ principal, sessionName, credentials }: Key): Caller {
    const { kind, name, policies } = principal;
    const arn = kind === "user"
      ? `arn:aws:iam::${this.#account}:user/${name}`
      : `arn:aws:sts::${this.#account}:assumed-role/${name}/${sessionName}`;
    const userId = kind === "user" ? `AIDA${credentials.accessKeyId.slice(4)}` : `AROALODEN:${sessionName}`;
    return { arn, userId, policies };
  }

  #newKeyId(prefix: string): string {
    return `${prefix}LODEN${String(++this.#serial).padStart(11, "0")}`;
  }
}
