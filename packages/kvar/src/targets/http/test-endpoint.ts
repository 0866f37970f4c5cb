import type { TargetSetting } from '../../settings/target-url.ts'
import { targetInvalid } from '../remote-address.ts'
import { isLoopback } from './plain-http.ts'

/**
 * The parameter `endpoint=http://127.0.0.1:PORT` of targets whose provider has fixed addresses. It is
 * for tests: everything goes to an emulator then. Tokens are sent there, so only this machine is allowed.
 *
 * @throws KvarError `SETTING_INVALID` for an address elsewhere
 */
export function readTestEndpoint(setting: TargetSetting): string | undefined {
  const { endpoint } = setting.parameters
  if (endpoint === undefined || isTestEndpoint(endpoint)) return endpoint
  throw targetInvalid(setting, 'its endpoint is not on this machine', 'leave "endpoint" out: it is for tests')
}

/** Whether a text is an origin on this machine and nothing more. */
export function isTestEndpoint(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  return url.protocol === 'http:' && isLoopback(url.hostname) && url.origin === text
}
