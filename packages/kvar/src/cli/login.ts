import { Argument, type Command } from 'commander'
import { KvarError } from '../errors.ts'
import { readEnvironment } from '../platform/environment.ts'
import { isTestEndpoint } from '../targets/http/test-endpoint.ts'
import { loginDropbox } from './login-dropbox.ts'
import { loginGoogle } from './login-google.ts'
import { type Act, examples, type Invocation } from './verb.ts'

/** What a sign-in needs to know beside the person. */
export interface LoginContext {
  invocation: Invocation
  /** Taken before anything is shown, so that a signal during the wait ends it in order. */
  signal: AbortSignal
  variables: Record<string, string | undefined>
  /** Set in tests: where an emulator listens on this machine. */
  emulator: string | undefined
}

/** What a sign-in gives: it goes to standard output and nowhere else. */
export interface LoginResult {
  /** To be put into the environment of the host, by name. */
  variables: Record<string, string>
  /** What else belongs there, in words. */
  also: string[]
}

const PROVIDERS: Record<string, (context: LoginContext) => Promise<LoginResult>> = {
  dropbox: loginDropbox,
  google: loginGoogle,
}

export function configure(command: Command, act: Act): void {
  command
    .addArgument(new Argument('<provider>', 'who holds the target').choices(Object.keys(PROVIDERS)))
    .addHelpText(
      'after',
      examples(
        'KVAR_DROPBOX_APP_KEY=… kvar login dropbox',
        'KVAR_GDRIVE_CLIENT_ID=… KVAR_GDRIVE_CLIENT_SECRET=… kvar login google',
      ),
    )
    .action(act(login))
}

async function login(invocation: Invocation): Promise<number> {
  const { out, operands, signal } = invocation
  const [provider = ''] = operands
  const { variables } = readEnvironment()
  const start = PROVIDERS[provider] as (context: LoginContext) => Promise<LoginResult>
  const result = await start({ invocation, signal, variables, emulator: emulatorOf(variables) })
  out.tell(
    'Signed in. Put this into the environment of the host (its page for secrets), into no file of the project:',
  )
  out.lines(Object.entries(result.variables).map(([name, value]) => `${name}=${value}`))
  for (const sentence of result.also) out.tell(sentence)
  out.summary({ exitCode: 0, provider, ...result })
  return 0
}

/** For tests, like the parameter `endpoint` of the targets: codes and tokens go there, so only this machine. */
function emulatorOf({ KVAR_LOGIN_ENDPOINT: text }: LoginContext['variables']): string | undefined {
  if (!text || isTestEndpoint(text)) return text || undefined
  throw new KvarError('SETTING_INVALID', 'Cannot use KVAR_LOGIN_ENDPOINT: it is not on this machine', {
    hint: 'unset it: it is for tests',
  })
}
