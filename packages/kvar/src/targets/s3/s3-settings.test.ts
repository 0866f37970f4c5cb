// Goal: from URL and environment to one place in one bucket, and no way to mean another: not by dots,
// odd characters, plain HTTP or keys from two sources. Method: URLs as people write them, through the
// same parser that the settings use.

import { describe, expect, it } from 'vitest'
import { parseTargetUrl } from '../../settings/target-url.ts'
import { readS3Settings } from './s3-settings.ts'

const KEYS = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' }
const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const

function read(url: string, environment: Record<string, string> = {}) {
  return readS3Settings(parseTargetUrl(url, { source, environment: { ...KEYS, ...environment } }))
}

describe('a place', () => {
  it.each([
    ['s3://b1b/app', 'https://s3.us-east-1.amazonaws.com', 'us-east-1', 'virtual', 'app'],
    [
      's3://b1b/app/?region=eu-north-1',
      'https://s3.eu-north-1.amazonaws.com',
      'eu-north-1',
      'virtual',
      'app',
    ],
    [
      's3://b.1.b/a/b?region=cn-north-1',
      'https://s3.cn-north-1.amazonaws.com.cn',
      'cn-north-1',
      'path',
      'a/b',
    ],
    [
      's3://b1b/familj%20å?endpoint=https://x.r2.cloudflarestorage.com',
      'https://x.r2.cloudflarestorage.com',
      'auto',
      'path',
      'familj å',
    ],
    [
      's3://b1b/a?endpoint=https://s3.eu-central-003.backblazeb2.com/',
      'https://s3.eu-central-003.backblazeb2.com',
      'eu-central-003',
      'path',
      'a',
    ],
    [
      's3://b1b/a?endpoint=https://p.supabase.co/storage/v1/s3&region=eu-west-1',
      'https://p.supabase.co/storage/v1/s3',
      'eu-west-1',
      'path',
      'a',
    ],
    [
      's3://b1b/a?endpoint=https://ams3.digitaloceanspaces.com&addressing=virtual',
      'https://ams3.digitaloceanspaces.com',
      'ams3',
      'virtual',
      'a',
    ],
    ['s3://b1b/a?endpoint=http://127.0.0.1:9000', 'http://127.0.0.1:9000', 'us-east-1', 'path', 'a'],
    ['s3://b1b/a?endpoint=http://minio:9000&tls=off', 'http://minio:9000', 'us-east-1', 'path', 'a'],
  ])('%s', (url, endpoint, region, addressing, prefix) => {
    expect(read(url)).toMatchObject({ endpoint, region, addressing, prefix })
  })

  it('may come in part from the environment, ours before the common names, the URL before both', () => {
    const environment = {
      AWS_ENDPOINT_URL_S3: 'https://aws.example',
      AWS_REGION: 'r1',
      AWS_DEFAULT_REGION: 'r0',
    }
    const setting = parseTargetUrl('s3://b1b/a', { source, environment })
    expect(setting.url).toBe('s3://b1b/a?endpoint=https%3A%2F%2Faws.example&region=r1')
    expect(read('s3://b1b/a', { ...environment, KVAR_S3_ENDPOINT: 'https://own.example' }).endpoint).toBe(
      'https://own.example',
    )
    expect(read('s3://b1b/a?endpoint=https://url.example', environment).endpoint).toBe('https://url.example')
  })
})

it('has one URL, whatever is written behind it', () => {
  const parse = (url: string) => parseTargetUrl(url, { source, environment: KEYS }).url
  expect(parse('s3://b1b/app/')).toBe('s3://b1b/app')
  expect(parse('s3://b1b/app/?region=r')).toBe('s3://b1b/app?region=r')
})

describe('keys', () => {
  it('are ours or the common ones, never one of each', () => {
    const token = { AWS_SESSION_TOKEN: 'token' }
    expect(read('s3://b1b/a', token).credentials).toEqual({
      accessKeyId: 'id',
      secretAccessKey: 'secret',
      sessionToken: 'token',
    })
    const own = { KVAR_S3_ACCESS_KEY_ID: 'own', KVAR_S3_SECRET_ACCESS_KEY: 'own-secret' }
    expect(read('s3://b1b/a', { ...token, ...own }).credentials).toEqual({
      accessKeyId: 'own',
      secretAccessKey: 'own-secret',
    })
    expect(() => read('s3://b1b/a', { KVAR_S3_ACCESS_KEY_ID: 'own' })).toThrow(/no keys/)
    expect(() => read('s3://b1b/a', { AWS_SECRET_ACCESS_KEY: '' })).toThrow(/no keys/)
  })
})

describe('refused', () => {
  it.each([
    's3://b1b',
    's3://b1b/',
    's3:/app',
    's3://b/a',
    's3://../a',
    's3://b1b/..',
    's3://b1b/a/../b',
    's3://b1b/a//b',
    's3://b1b/%2e%2e/b',
    's3://b1b/a%0ab',
    's3://b1b/a%5cb',
    's3://id@b1b/a',
    's3://b1b:9000/a',
    's3://b1b/a?endpoint=http://minio:9000',
    's3://b1b/a?endpoint=http://minio:9000&tls=no',
    's3://b1b/a?endpoint=ftp://x',
    's3://b1b/a?endpoint=https://u:p@x',
    's3://b1b/a?endpoint=https://x/?y=1',
    's3://b1b/a?endpoint=x',
    's3://b1b/a?addressing=both',
  ])('%s', (url) => {
    expect(() => read(url)).toThrow(expect.objectContaining({ code: 'SETTING_INVALID' }))
  })

  it('keys on a command line', () => {
    const argv = { kind: 'argument', label: 'argv', baseFolder: '/' } as const
    const url = 's3://b1b/a?secretAccessKey=s3cr3t'
    expect(() => parseTargetUrl(url, { source: argv, environment: {} })).toThrow(
      expect.objectContaining({ code: 'SECRET_EXPOSED' }),
    )
  })
})
