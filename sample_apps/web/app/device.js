/** What a browser says of the phone that it runs on. */

/** @import { DeviceDescription } from '../core/replay/DumpWriter.js' */
/**
 * @typedef {{getHighEntropyValues: (hints: string[]) => Promise<Record<string, any>>}} UserAgentData
 * @typedef {{userAgent: string, userAgentData?: UserAgentData}} Navigator
 */

export const APP_VERSION = 'web 0.1.0';

/** @param {Navigator} browser @returns {Promise<DeviceDescription>} */
export async function describeDevice(browser) {
  const hints = ['model', 'platform', 'platformVersion', 'fullVersionList'];
  const found = await browser.userAgentData?.getHighEntropyValues(hints).catch(() => null);
  const { userAgent } = browser;
  const system = found?.platform
    ? `${found.platform} ${found.platformVersion ?? ''}`.trim()
    : systemOf(userAgent);
  return {
    model: `${found?.model || kindOf(userAgent)}, ${browserOf(userAgent, found)}`,
    os: system,
    appVersion: APP_VERSION,
  };
}

/** @param {string} userAgent */
function kindOf(userAgent) {
  return /iPhone|iPad|Android|Macintosh|Windows|CrOS|Linux/.exec(userAgent)?.[0] ?? 'unknown device';
}

/** @param {string} userAgent */
function systemOf(userAgent) {
  const apple = /OS (\d+[_.\d]*) like Mac/.exec(userAgent);
  if (apple) return `iOS ${apple[1].replaceAll('_', '.')}`;
  return (
    /Android [\d.]+|Mac OS X [\d_]+|Windows NT [\d.]+|CrOS|Linux/.exec(userAgent)?.[0] ?? 'unknown system'
  );
}

/** @param {string} userAgent @param {Record<string, any> | null | undefined} found */
function browserOf(userAgent, found) {
  const brands = /** @type {{brand: string, version: string}[]} */ (found?.fullVersionList ?? []);
  const brand = brands.find((item) => !/not.?a.?brand/i.test(item.brand));
  if (brand) return `${brand.brand} ${brand.version}`;
  const known = [/(Firefox)\/([\d.]+)/, /(Edg|Chrome|CriOS)\/([\d.]+)/, /Version\/([\d.]+).*(Safari)/];
  for (const pattern of known) {
    const match = pattern.exec(userAgent);
    if (match)
      return match
        .slice(1, 3)
        .sort((a, b) => Number(/\d/.test(a)) - Number(/\d/.test(b)))
        .join(' ');
  }
  return 'unknown browser';
}
