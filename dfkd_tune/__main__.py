from dfkd_tune.cli.main import main

main()
