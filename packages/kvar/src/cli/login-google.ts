import { KvarError } from '../errors.ts'
import { beforeDeadline } from '../platform/clock.ts'
import { type PageAnswer, serveLoopback } from '../platform/http-server.ts'
import { googleAddresses, OWN_FILES_SCOPE } from '../targets/google-drive/google-drive-settings.ts'
import { unlessCancelled } from './cancelled.ts'
import type { LoginContext, LoginResult } from './login.ts'
import { needed, newChallenge, redeem, showAddress } from './login-steps.ts'

const PAGE = 'docs/providers/google-drive.md'
/** How long a person may take to sign in. */
const ANSWER_LIMIT_MS = 15 * 60_000

/**
 * Google with a redirect to this machine (Google Identity, "OAuth 2.0 for iOS & Desktop Apps", loopback IP
 * address, PKCE). The code comes to a free port of 127.0.0.1, with the state that we gave along.
 */
export async function loginGoogle(context: LoginContext): Promise<LoginResult> {
  const clientId = needed(context, 'KVAR_GDRIVE_CLIENT_ID', PAGE)
  const clientSecret = needed(context, 'KVAR_GDRIVE_CLIENT_SECRET', PAGE)
  const addresses = googleAddresses(context.emulator)
  const { random } = context.invocation.platform
  const { verifier, challenge } = newChallenge(random)
  const state = Buffer.from(random.bytes(16)).toString('hex')
  const redirect = await awaitRedirect(state)
  try {
    const query = new URLSearchParams({
      client_id: clientId,
      redirect_uri: redirect.address,
      response_type: 'code',
      scope: OWN_FILES_SCOPE,
      // A refresh token is given only when it is asked for, and the second time only when consent is too.
      access_type: 'offline',
      prompt: 'consent',
      code_challenge: challenge,
      code_challenge_method: 'S256',
      state,
    })
    showAddress(
      context,
      `${addresses.authorize}?${query}`,
      'The browser then comes back to this machine; waiting for it.',
    )
    const code = await inTime(redirect.code, context)
    const refreshToken = await redeem(context, {
      provider: 'Google',
      address: addresses.token,
      form: {
        code,
        code_verifier: verifier,
        client_id: clientId,
        client_secret: clientSecret,
        redirect_uri: redirect.address,
      },
    })
    return {
      variables: { KVAR_GDRIVE_CLIENT_ID: clientId, KVAR_GDRIVE_REFRESH_TOKEN: refreshToken },
      also: [
        'And KVAR_GDRIVE_CLIENT_SECRET, as you have set it here, which is not shown again.',
        'And the target, for example KVAR_TARGETS=gdrive:/Folder; "kvar doctor gdrive:/Folder" tries it.',
      ],
    }
  } finally {
    await redirect.close()
  }
}

interface Redirect {
  address: string
  code: Promise<string>
  close(): Promise<void>
}

/** A page on a free port. What comes without our state is not from this sign-in, and changes nothing. */
async function awaitRedirect(state: string): Promise<Redirect> {
  const { promise: code, resolve, reject } = Promise.withResolvers<string>()
  // Whoever waits hears of it; when the wait was given up, nobody has to.
  code.catch(() => undefined)
  const server = await serveLoopback(0, (path, query) => {
    const found = query.get('code')
    if (path !== '/') return undefined
    if (query.get('state') !== state) return page(400, 'This is not from the sign-in that is waiting.')
    if (!found) {
      reject(denied())
      return page(200, 'Access was not given. You can close this page.')
    }
    resolve(found)
    return page(200, 'Signed in. Go back to the terminal; you can close this page.')
  })
  return { address: `http://127.0.0.1:${server.port}`, code, close: () => server.close() }
}

function page(status: number, sentence: string): PageAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${sentence}\n` }
}

async function inTime(code: Promise<string>, { invocation, signal }: LoginContext): Promise<string> {
  const { clock } = invocation.platform
  const found = await unlessCancelled(beforeDeadline(clock, ANSWER_LIMIT_MS, code), signal)
  if (found !== 'late') return found
  throw new KvarError('UNREACHABLE', `Nobody signed in within ${ANSWER_LIMIT_MS / 60_000} minutes`, {
    hint: 'run it again; the browser has to run on this machine, or its port be forwarded to it',
  })
}

function denied(): KvarError {
  return new KvarError('TARGET_DENIED', 'Google gave no access: the sign-in was refused there', {
    hint: 'run it again and agree; while the project is in "Testing" your address must be among its test users',
  })
}
