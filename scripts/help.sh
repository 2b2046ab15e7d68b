# Sourced by the scripts: --help prints the comment at the top of the script.
case " $* " in
    *" --help "* | *" -h "*)
        sed -n '2,/^[^#]/{/^#/!q; s/^# \{0,1\}//; p}' "$0"
        exit 0
        ;;
esac
