// The one place where the agent reads its environment.

export function environment(name: string): string | undefined {
  return process.env[name]
}
