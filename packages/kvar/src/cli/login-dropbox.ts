import { dropboxAddresses } from '../targets/dropbox/dropbox-settings.ts'
import type { LoginContext, LoginResult } from './login.ts'
import { needed, newChallenge, readLine, redeem, showAddress } from './login-steps.ts'

/** What the target calls, and nothing else (Dropbox HTTP documentation, "Required scope" of each call). */
const SCOPES = 'files.metadata.read files.content.read files.content.write'

/**
 * Dropbox without a redirect: its page shows a code, which the person pastes (Dropbox OAuth Guide,
 * "Authorization code flow", PKCE). It works on a machine without a browser too.
 */
export async function loginDropbox(context: LoginContext): Promise<LoginResult> {
  const appKey = needed(context, 'KVAR_DROPBOX_APP_KEY', 'docs/providers/dropbox.md')
  const addresses = dropboxAddresses(context.emulator)
  const { verifier, challenge } = newChallenge(context.invocation.platform.random)
  const query = new URLSearchParams({
    client_id: appKey,
    response_type: 'code',
    token_access_type: 'offline',
    scope: SCOPES,
    code_challenge: challenge,
    code_challenge_method: 'S256',
  })
  showAddress(
    context,
    `${addresses.authorize}?${query}`,
    'Then paste the code that the page shows, and press Enter:',
  )
  const code = await readLine(context)
  const refreshToken = await redeem(context, {
    provider: 'Dropbox',
    address: addresses.token,
    form: { code, code_verifier: verifier, client_id: appKey },
  })
  return {
    variables: { KVAR_DROPBOX_APP_KEY: appKey, KVAR_DROPBOX_REFRESH_TOKEN: refreshToken },
    also: [
      'And the target, for example KVAR_TARGETS=dropbox:/Folder; "kvar doctor dropbox:/Folder" tries it.',
    ],
  }
}
