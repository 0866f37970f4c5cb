// An authorization server as Dropbox and Google have one: apps with keys, codes that are bound to a
// challenge, access tokens that run out, refresh tokens that can be taken back. Follows RFC 6749, RFC 7636
// (PKCE) and RFC 7523, the Dropbox OAuth Guide, and Google Identity's "OAuth 2.0 for iOS & Desktop Apps".

import { createHash, createVerify, randomBytes } from 'node:crypto'
import type { Reply } from '../servers/scripted-http.ts'

export interface App {
  id: string
  /** None: the app proves itself by its challenge alone (PKCE without a secret). */
  secret?: string
}

interface Grant {
  clientId: string
  challenge: string
  redirectUri: string | null
  isOffline: boolean
  scope: string
}

export class OAuthEmulator {
  readonly app: App
  lifetimeSeconds = 14_400
  /** Every token and code that was given out: a test looks for them where they must not be. */
  readonly secrets: string[] = []
  /** How often a token was asked for. */
  signIns = 0
  /** Public keys of service accounts by their e-mail addresses. */
  readonly accounts = new Map<string, { publicKey: string; audience: string }>()
  /** The scope that the last assertion asked for. */
  lastScope = ''
  readonly #valid = new Set<string>()
  readonly #refreshTokens = new Set<string>()
  readonly #codes = new Map<string, Grant>()

  constructor(app: App) {
    this.app = app
  }

  newRefreshToken(): string {
    const token = this.#secret('refresh')
    this.#refreshTokens.add(token)
    return token
  }

  /** All access tokens run out at once. */
  expireTokens(): void {
    this.#valid.clear()
  }

  /** The person takes the app's access back. */
  revoke(): void {
    this.expireTokens()
    this.#refreshTokens.clear()
  }

  accepts(authorization: string | undefined): boolean {
    return this.#valid.has((authorization ?? '').replace(/^Bearer /, ''))
  }

  /**
   * What a person does who opens the address, signs in and agrees; answers the code, and where the
   * browser would be sent.
   */
  agree(address: string): { code: string; redirect: URL | undefined } {
    const query = new URL(address).searchParams
    const wanted: Record<string, string> = {
      response_type: 'code',
      client_id: this.app.id,
      code_challenge_method: 'S256',
    }
    for (const [name, value] of Object.entries(wanted)) {
      if (query.get(name) !== value) throw new Error(`the page shows an error: ${name}`)
    }
    const redirectUri = query.get('redirect_uri')
    const code = this.#secret('code')
    const isOffline = query.get('token_access_type') === 'offline' || query.get('access_type') === 'offline'
    const challenge = query.get('code_challenge') ?? ''
    this.#codes.set(code, {
      clientId: this.app.id,
      challenge,
      redirectUri,
      isOffline,
      scope: query.get('scope') ?? '',
    })
    const redirect = redirectUri === null ? undefined : new URL(redirectUri)
    redirect?.searchParams.set('code', code)
    redirect?.searchParams.set('state', query.get('state') ?? '')
    return { code, redirect }
  }

  /** The token address. Errors as in RFC 6749 section 5.2. */
  token(body: Buffer): Reply {
    this.signIns += 1
    const form = new URLSearchParams(body.toString())
    const grantType = form.get('grant_type')
    if (grantType === 'urn:ietf:params:oauth:grant-type:jwt-bearer') return this.#forAssertion(form)
    if (form.get('client_id') !== this.app.id) return refusal('invalid_client', 401)
    if (this.app.secret !== undefined && form.get('client_secret') !== this.app.secret) {
      return refusal('invalid_client', 401)
    }
    if (grantType === 'refresh_token') {
      return this.#refreshTokens.has(form.get('refresh_token') ?? '')
        ? this.#granted({})
        : refusal('invalid_grant')
    }
    return grantType === 'authorization_code' ? this.#forCode(form) : refusal('unsupported_grant_type')
  }

  #forCode(form: URLSearchParams): Reply {
    const code = form.get('code') ?? ''
    const grant = this.#codes.get(code)
    // A code is good for one try.
    this.#codes.delete(code)
    const challenge = createHash('sha256')
      .update(form.get('code_verifier') ?? '')
      .digest('base64url')
    if (grant === undefined || grant.challenge !== challenge) return refusal('invalid_grant')
    if (grant.redirectUri !== form.get('redirect_uri')) return refusal('invalid_grant')
    const lasting = grant.isOffline ? { refresh_token: this.newRefreshToken() } : {}
    return this.#granted({ scope: grant.scope, ...lasting })
  }

  #forAssertion(form: URLSearchParams): Reply {
    const [header = '', payload = '', signature = ''] = (form.get('assertion') ?? '').split('.')
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
    const account = this.accounts.get(String(claims.iss))
    if (account === undefined) return refusal('invalid_grant')
    const verify = createVerify('RSA-SHA256').update(`${header}.${payload}`)
    const seconds = Date.now() / 1000
    const isFresh = Number(claims.iat) <= seconds + 60 && Number(claims.exp) > seconds
    const isSigned = verify.verify(account.publicKey, Buffer.from(signature, 'base64url'))
    if (!isSigned || !isFresh || claims.aud !== account.audience) return refusal('invalid_grant')
    this.lastScope = String(claims.scope)
    return this.#granted({})
  }

  #granted(more: object): Reply {
    const token = this.#secret('access')
    this.#valid.add(token)
    const granted = { access_token: token, token_type: 'bearer', expires_in: this.lifetimeSeconds, ...more }
    return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(granted) }
  }

  #secret(kind: string): string {
    const secret = `${kind}-${randomBytes(16).toString('hex')}`
    this.secrets.push(secret)
    return secret
  }
}

function refusal(error: string, status = 400): Reply {
  // Real ones tell more; the sentence repeats what was sent, so that a test can see it is never shown.
  const body = JSON.stringify({ error, error_description: 'the refresh token refresh-… is not good' })
  return { status, headers: { 'content-type': 'application/json' }, body }
}
