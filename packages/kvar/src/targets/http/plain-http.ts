import type { TargetSetting } from '../../settings/target-url.ts'
import { targetInvalid } from '../remote-address.ts'

/**
 * Refuses an address without TLS, except on this machine, or where the person says that the network
 * between is theirs.
 */
export function assertTls(setting: TargetSetting, address: URL): void {
  const { tls } = setting.parameters
  if (tls !== undefined && tls !== 'off') {
    throw targetInvalid(setting, '"tls" can only be "off"', 'leave it out: TLS is what happens otherwise')
  }
  if (address.protocol !== 'http:' || isLoopback(address.hostname) || tls === 'off') return
  throw targetInvalid(
    setting,
    'without TLS everybody between could read and change what is stored',
    'use an address with TLS (https:, webdavs:), or in a network of your own add tls=off',
  )
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}
