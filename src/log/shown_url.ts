/** A URL, or what was meant as one, without the user and the password that it may have. */
export function shownUrl(url: string): string {
  return url.replace(/^([^/?#]*\/\/)?[^/?#]*@/, "$1");
}

/** The password that a URL may have, as it is meant. */
export function passwordIn(url: string): string | undefined {
  const password = URL.canParse(url) ? new URL(url).password : "";
  if (password === "") return undefined;
  try {
    return decodeURIComponent(password);
  } catch {
    return password;
  }
}
