import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { KvarError } from '../errors.ts'
import type { Random } from '../platform/random.ts'
import { HttpCaller } from '../targets/http/http-caller.ts'
import { requestToken } from '../targets/http/oauth-token.ts'
import { unlessCancelled } from './cancelled.ts'
import type { LoginContext } from './login.ts'

/** A secret made for one sign-in and its hash, which is all that the browser gets to see (RFC 7636). */
export interface Challenge {
  verifier: string
  /** The method is `S256`. */
  challenge: string
}

export function newChallenge(random: Random): Challenge {
  const verifier = Buffer.from(random.bytes(32)).toString('base64url')
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') }
}

/** A variable that the person has set beforehand. */
export function needed({ variables }: LoginContext, name: string, page: string): string {
  const value = variables[name]?.trim()
  if (value) return value
  throw new KvarError('SETTING_INVALID', `${name} is not set`, {
    hint: `register an app of your own (${page}, in ten minutes), then set it for this command`,
    data: { variable: name },
  })
}

/** Shows the address that begins the sign-in, also with `--quiet`: without it there is nothing to do. */
export function showAddress({ invocation }: LoginContext, address: string, then: string): void {
  const { out } = invocation
  if (out.json) out.document({ event: 'visit', url: address, then })
  else out.stderr.write(`Open this address in a browser, sign in and agree:\n\n  ${address}\n\n${then}\n`)
}

/** One line of standard input. */
export async function readLine({ signal }: LoginContext): Promise<string> {
  const lines = createInterface({ input: process.stdin })
  const line = new Promise<string>((resolve) => {
    lines.once('line', resolve).once('close', () => resolve(''))
  })
  try {
    const text = (await unlessCancelled(line, signal)).trim()
    if (text !== '') return text
    throw new KvarError('USAGE', 'No code was given', {
      hint: 'run it again and paste the code that the page shows',
    })
  } finally {
    lines.close()
    process.stdin.destroy()
  }
}

/** Turns a code into a sign-in that lasts; answers the refresh token. */
export async function redeem(
  { invocation, signal }: LoginContext,
  options: { provider: string; address: string; form: Record<string, string> },
): Promise<string> {
  const { provider, address, form } = options
  const { platform } = invocation
  const caller = new HttpCaller(provider, platform.openHttpClient)
  try {
    const nowMs = platform.clock.nowMs()
    const refusedHint =
      'run it again: a code is good for one try and a few minutes; check the app’s key and secret'
    const request = { address, url: provider, nowMs, refusedHint, signal }
    const token = await requestToken(caller, {
      ...request,
      form: { grant_type: 'authorization_code', ...form },
    })
    if (token.refreshToken !== undefined) return token.refreshToken
    throw new KvarError('TARGET_DENIED', `${provider} gave no sign-in that lasts`, {
      hint: 'take the app’s access back on the page of your account, then run it again',
    })
  } finally {
    caller.close()
  }
}
