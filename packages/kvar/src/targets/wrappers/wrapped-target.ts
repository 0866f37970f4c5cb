import type {
  CreateOptions,
  ListOptions,
  ObjectBody,
  ObjectEntry,
  ReadOptions,
  Target,
  TargetCapabilities,
} from '../target.ts'

/** A target around a target that changes nothing: each wrapper overrides what it is about. */
export abstract class WrappedTarget implements Target {
  protected readonly inner: Target

  constructor(inner: Target) {
    this.inner = inner
  }

  get url(): string {
    return this.inner.url
  }

  get kind(): string {
    return this.inner.kind
  }

  get capabilities(): TargetCapabilities {
    return this.inner.capabilities
  }

  levelFolder(level: number): string {
    return this.inner.levelFolder(level)
  }

  create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    return this.inner.create(key, body, options)
  }

  replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.inner.replace(key, body, options)
  }

  read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    return this.inner.read(key, options)
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    return this.inner.list(prefix, options)
  }

  remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.inner.remove(keys, options)
  }

  close(): Promise<void> {
    return this.inner.close()
  }
}
