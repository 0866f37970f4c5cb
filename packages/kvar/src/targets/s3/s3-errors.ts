import { type Explanation, explainStatus, LATER } from '../http/http-errors.ts'

const KEYS = 'check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or KVAR_S3_…)'
const RIGHTS = 'the key needs s3:PutObject, s3:GetObject, s3:ListBucket and s3:DeleteObject for this prefix'
const ROOM = 'raise the quota or make room; versions wait here meanwhile'

/**
 * Error codes of S3 and of what speaks like it. Sources: Amazon S3 API Reference, "Error responses"
 * (docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html); Ceph Object Gateway, "Error codes";
 * the codes that begin with X are MinIO's. Codes that are not here are judged by their status.
 */
const CODES: Record<string, Explanation> = {
  AccessDenied: denied('the key does not give the right to it', RIGHTS),
  AccountProblem: denied('there is a problem with the account', 'look at the provider’s page of the account'),
  AllAccessDisabled: denied('all access to it is switched off', RIGHTS),
  AuthorizationHeaderMalformed: denied('the region is wrong', 'add region=… to the target'),
  ExpiredToken: denied(
    'the session token has expired',
    'use keys that do not expire, or renew AWS_SESSION_TOKEN',
  ),
  InvalidAccessKeyId: denied('the server does not know the access key', KEYS),
  InvalidRegionName: denied('the region is wrong', 'add region=… to the target'),
  InvalidToken: denied(
    'the session token is not valid',
    'renew AWS_SESSION_TOKEN, or unset it for keys without one',
  ),
  NotSignedUp: denied('the account may not use S3', 'look at the provider’s page of the account'),
  RequestTimeTooSkewed: denied(
    'the clock of this machine is wrong',
    'set the clock; the signature holds the time',
  ),
  SignatureDoesNotMatch: denied('the secret key is wrong', KEYS),

  BandwidthLimitExceeded: temporary('the server is asked for too much'),
  ConditionalRequestConflict: temporary('somebody else is storing the same object'),
  InternalError: temporary('the server failed'),
  OperationAborted: temporary('another operation is under way there'),
  RequestLimitExceeded: temporary('the server is asked too often'),
  RequestTimeout: temporary('the server waited too long'),
  ServiceUnavailable: temporary('the server asks to come again'),
  SlowDown: temporary('the server is asked too often'),
  Throttling: temporary('the server is asked too often'),
  ThrottlingException: temporary('the server is asked too often'),
  TooManyRequests: temporary('the server is asked too often'),

  InsufficientCapacity: full('there is no room left'),
  QuotaExceeded: full('the quota is used up'),
  XMinioAdminBucketQuotaExceeded: full('the quota is used up'),
  XMinioStorageFull: full('there is no room left'),

  BadDigest: temporary('the object was damaged on its way'),
  EntityTooLarge: permanent(
    'the server takes no object this large',
    'use another provider for this database',
  ),
  InvalidBucketName: permanent('the bucket has a name that is not allowed', 'check the name of the bucket'),
  InvalidObjectState: permanent(
    'the object lies in an archive',
    'bring it back there, and archive no objects of this prefix',
  ),
  KeyTooLongError: permanent('the name is too long', 'choose a shorter prefix'),
  MethodNotAllowed: permanent('the server does not know this operation', 'is the endpoint right?'),
  NoSuchBucket: permanent('there is no such bucket', 'make the bucket, or check its name and the endpoint'),
  NotImplemented: permanent('the server does not know this operation', 'is the endpoint right?'),
  PermanentRedirect: permanent('the bucket is elsewhere', 'write its endpoint and region into the target'),
  TemporaryRedirect: permanent('the bucket is elsewhere', 'write its endpoint and region into the target'),
}

/** What an answer that is no success means. The region that a server names helps to mend the setting. */
export function explainS3(
  status: number,
  facts: { code?: string | undefined; region?: string | undefined },
): Explanation {
  const known = facts.code === undefined ? undefined : CODES[facts.code]
  const explanation = known ?? explainStatus(status)
  const isPlace = explanation.reason.includes('region') || explanation.reason.includes('elsewhere')
  const isElsewhere = status === 301 || status === 307 || isPlace
  if (!isElsewhere || facts.region === undefined) return explanation
  return { ...explanation, hint: `add region=${facts.region} to the target` }
}

function temporary(reason: string): Explanation {
  return { failure: 'temporary', reason, hint: LATER }
}

function denied(reason: string, hint: string): Explanation {
  return { failure: 'denied', reason, hint }
}

function full(reason: string): Explanation {
  return { failure: 'full', reason, hint: ROOM }
}

function permanent(reason: string, hint: string): Explanation {
  return { failure: 'permanent', reason, hint }
}
