import type { MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { ApiError } from './api-error.ts'

/** Nothing from elsewhere is loaded, nothing written into the page is run, nobody may frame it. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

export const securityHeaders: MiddlewareHandler = async (context, next) => {
  await next()
  context.header('Content-Security-Policy', CONTENT_SECURITY_POLICY)
  context.header('X-Content-Type-Options', 'nosniff')
  context.header('Referrer-Policy', 'no-referrer')
  context.header('Cross-Origin-Opener-Policy', 'same-origin')
}

/**
 * Another site that a member of the family visits must not change the calendar through their
 * browser. Browsers tell where a request comes from; programs that send neither header are let in.
 */
export const ownSiteOnly: MiddlewareHandler = async (context, next) => {
  if (
    context.req.method !== 'GET' &&
    context.req.method !== 'HEAD' &&
    isOtherSite((name) => context.req.header(name))
  ) {
    throw new ApiError('other_site')
  }
  await next()
}

function isOtherSite(header: (name: string) => string | undefined): boolean {
  const site = header('Sec-Fetch-Site')
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  // Browsers leave that header out on a plain http address of the home network; the origin is left to compare.
  const origin = header('Origin')
  if (origin === undefined) return false
  const host = URL.canParse(origin) ? new URL(origin).host : undefined
  return host === undefined || (host !== header('Host') && host !== header('X-Forwarded-Host'))
}

const BODY_LIMIT_BYTES = 64 * 1024

export const limitedBody = bodyLimit({
  maxSize: BODY_LIMIT_BYTES,
  onError: () => {
    throw new ApiError('body_too_large')
  },
})
