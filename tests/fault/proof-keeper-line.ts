import * as fs from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import type { KeeperSettings } from '../../packages/kvar/src/settings/keeper-settings.ts'
import { moduleOf } from './proof-product.ts'

type Settings = typeof import('../../packages/kvar/src/settings/settings.ts')
type Protocol = typeof import('../../packages/kvar/src/keeper/protocol.ts')

const { resolveSettings } = (await import(moduleOf('settings/settings.js'))) as Settings
const { PROTOCOL } = (await import(moduleOf('keeper/protocol.js'))) as Protocol

/** The settings that an app's own keeper has, for the greeting. */
export function keeperSettings(databasePath: string, options: Record<string, unknown>): KeeperSettings {
  return resolveSettings({
    databasePath,
    options,
    optionsFrom: 'code',
    environment: {},
    workingFolder: '/',
  })
}

/**
 * Asks the running keeper of a database something, for apps that know nothing of Kvar. It never starts
 * a keeper: when ours dies, whoever owns it has to notice.
 *
 * @returns false when there is no keeper, or it ended before it answered
 * @throws Error with the keeper's sentence when it refuses
 */
export async function askKeeper(
  addressPath: string,
  settings: KeeperSettings,
  method: 'flush' | 'status',
): Promise<unknown> {
  const address = readAddress(addressPath)
  if (address === undefined) return false
  const socket = connect(address.socket)
  const hello = { protocol: PROTOCOL, nonce: address.nonce, settings, role: 'tool', appRunning: true }
  try {
    socket.write(`${JSON.stringify({ id: 1, method: 'hello', params: hello })}\n`)
    socket.write(`${JSON.stringify({ id: 2, method, params: {} })}\n`)
    return await answerTo(2, socket)
  } finally {
    socket.destroy()
  }
}

function answerTo(id: number, socket: ReturnType<typeof connect>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    socket.once('error', () => resolve(false))
    socket.once('close', () => resolve(false))
    const lines = createInterface({ input: socket })
    lines.on('error', () => resolve(false))
    lines.on('line', (line) => {
      const message = JSON.parse(line) as {
        id?: number
        result?: unknown
        error?: { code: string; message: string }
      }
      if (message.id !== id) return
      if (message.error === undefined) resolve(message.result)
      // Before its start is done a keeper cannot answer: not a refusal, only too early.
      else if (message.error.code === 'KEEPER_GONE' || message.error.code === 'USAGE') resolve(false)
      else reject(new Error(message.error.message))
    })
  })
}

function readAddress(path: string): { socket: string; nonce: string } | undefined {
  try {
    return JSON.parse(fs.readFileSync(path, 'utf8')) as { socket: string; nonce: string }
  } catch {
    return undefined
  }
}
