import type { Found } from './setting-lookup.ts'
import { settingInvalid } from './setting-source.ts'

const LOOPBACK = /^(?:(?:127\.0\.0\.1|localhost):)?(\d{1,5})$/
const HINT = 'write a port from 1 to 65535, such as 9187, or 127.0.0.1:9187'

/**
 * The port for metrics and health. Only this machine may ask: metrics tell when a family is at home,
 * and the little server has no password. Whoever wants them elsewhere puts a proxy in front.
 *
 * @throws KvarError `SETTING_INVALID` for any address but the loopback one
 */
export function readMetricsPort(found: Found | undefined): number | undefined {
  if (found === undefined) return undefined
  const text = String(found.value)
  const digits = LOOPBACK.exec(text)?.[1]
  if (digits === undefined && /[:.]/.test(text)) {
    const sentence = 'metrics are given to this machine only (127.0.0.1), and it names another address'
    throw settingInvalid(found.source, sentence, HINT)
  }
  const port = Number(digits)
  if (!(port >= 1 && port <= 65_535)) throw settingInvalid(found.source, 'it is no port', HINT)
  return port
}
